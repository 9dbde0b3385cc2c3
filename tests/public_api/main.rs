//! What a Rust program can name of this crate, as a snapshot. Guards against a signature, a field, a variant or an impl
//! that changes without anybody having meant to change the API.
//!
//! Works on the sources, so that it needs no nightly compiler: walks from `src/lib.rs` along `pub mod` and `pub use`,
//! and leaves out what is hidden from the documentation or exists for tests only. Review a change with `cargo insta
//! review`, or by renaming `public_api.snap.new`.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which the lint does not tell from other code"
)]

mod shown;
mod source;

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Item, ItemImpl};

use shown::{shown_impl, without_attributes, without_private};
use source::{attrs, ident, is_hidden, is_public, join, leaves, read_dir, read_module};
use source::{text, type_path, visibility};

/// `["core", "error", "Error"]`: a module or an item, from the root of the crate.
type Name = Vec<String>;

#[test]
fn the_public_api_is_as_it_was_reviewed() {
    let mut modules = BTreeMap::new();
    read_dir(
        concat!(env!("CARGO_MANIFEST_DIR"), "/src"),
        &[],
        &mut modules,
    );
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("public_api", Crate { modules }.public_api());
    });
}

#[test]
fn what_is_public_is_shown_and_nothing_else() {
    let lib = "
        mod inner;
        pub use inner::{Seen as Shown, seen};
        #[doc(hidden)] pub mod hidden;
        #[cfg(feature = \"internals\")] pub fn internal() {}
        pub(crate) fn private() {}
    ";
    let inner = "
        /// Documented.
        #[derive(Debug)] #[serde(a)] pub struct Seen { pub field: u8, secret: u8 }
        impl Seen { pub fn method(&self) -> u8 { 1 } fn helper() {} #[doc(hidden)] pub fn hook() {} }
        impl Drop for Seen { fn drop(&mut self) {} }
        #[cfg(test)] mod tests { impl super::Seen { pub fn tested() {} } }
        pub fn seen(a: u8) { b() }
        pub fn unseen() {}
    ";
    let mut modules = BTreeMap::new();
    read_module(&[], syn::parse_file(lib).unwrap().items, &mut modules);
    let path = ["inner".to_owned()];
    read_module(&path, syn::parse_file(inner).unwrap().items, &mut modules);
    let shown = "\
        // plasmite::Shown\n#[derive(Debug)]\npub struct Seen {\n    pub field: u8,\n    _: Private,\n}\n\
        impl Seen {\n    pub fn method(&self) -> u8 {}\n}\nimpl Drop for Seen {}\n\n\
        // plasmite::seen\npub fn seen(a: u8) {}\n";
    assert_eq!(Crate { modules }.public_api(), shown);
}

/// All modules of a crate by name, tests left out.
struct Crate {
    modules: BTreeMap<Name, Vec<Item>>,
}

impl Crate {
    /// Every public item once, under all the names that lead to it.
    fn public_api(&self) -> String {
        let mut exports = BTreeMap::new();
        self.export(&[], "plasmite", &mut exports);
        let mut sections: Vec<String> = exports
            .iter()
            .map(|(definition, names)| {
                let mut names = names.clone();
                names.sort_by_key(|name| (name.matches("::").count(), name.clone()));
                let items = self
                    .definition(definition)
                    .into_iter()
                    .chain(self.impls(definition));
                let items: TokenStream = items
                    .map(|item| without_attributes(item.into_token_stream()))
                    .collect();
                let text = prettyplease::unparse(&syn::parse2(items).unwrap());
                format!("// {}\n{text}", names.join(", "))
            })
            .collect();
        sections.sort();
        sections.join("\n")
    }

    /// Notes what `module` offers, as `public`: its own public items, and what it hands on.
    fn export(&self, module: &[String], public: &str, into: &mut BTreeMap<Name, Vec<String>>) {
        for item in self.modules[module]
            .iter()
            .filter(|item| !is_hidden(attrs(item)))
        {
            match item {
                Item::Mod(child) if is_public(&child.vis) => {
                    let name = child.ident.to_string();
                    self.export(&join(module, &name), &format!("{public}::{name}"), into);
                }
                Item::Use(item) if is_public(&item.vis) => {
                    for (name, path) in leaves(&item.tree) {
                        let definition = self.resolve(module, &path);
                        let definition = definition
                            .unwrap_or_else(|| panic!("{path:?} is no item of this crate"));
                        into.entry(definition)
                            .or_default()
                            .push(format!("{public}::{name}"));
                    }
                }
                _ => {
                    if let Some(name) = ident(item).filter(|_| is_public(visibility(item))) {
                        let names = into.entry(join(module, &name)).or_default();
                        names.push(format!("{public}::{name}"));
                    }
                }
            }
        }
    }

    /// Where that which `path` means within `module` is defined; `None` for what is of another crate.
    fn resolve(&self, module: &[String], path: &[String]) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        let absolute: Name = match first.as_str() {
            "crate" => rest.to_vec(),
            "self" => [module, rest].concat(),
            "super" => [&module[..module.len() - 1], rest].concat(),
            _ => [module, path].concat(),
        };
        let (name, parent) = absolute.split_last()?;
        let items = self.modules.get(parent)?;
        if items.iter().any(|item| ident(item).as_ref() == Some(name)) {
            return Some(absolute);
        }
        let uses = items.iter().filter_map(|item| match item {
            Item::Use(item) => Some(leaves(&item.tree)),
            _ => None,
        });
        let (_, found) = uses.flatten().find(|(leaf, _)| leaf == name)?;
        self.resolve(parent, &found)
    }

    fn definition(&self, name: &[String]) -> Option<Item> {
        let (last, module) = name.split_last()?;
        let mut items = self.modules[module].iter();
        items
            .find(|item| ident(item).as_ref() == Some(last))
            .cloned()
            .map(without_private)
    }

    /// What is implemented for a type: its own functions first, then traits by name.
    fn impls(&self, of: &[String]) -> Vec<Item> {
        let all = self.modules.iter();
        let all = all.flat_map(|(module, items)| items.iter().map(move |item| (module, item)));
        let mut found: Vec<ItemImpl> = all
            .filter_map(|(module, item)| match item {
                Item::Impl(item)
                    if self.resolve(module, &type_path(&item.self_ty)).as_deref() == Some(of) =>
                {
                    shown_impl(item.clone())
                }
                _ => None,
            })
            .collect();
        found.sort_by_key(|item| item.trait_.as_ref().map(|(_, path, _)| text(path)));
        found.into_iter().map(Item::Impl).collect()
    }
}
