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

use std::collections::BTreeMap;
use std::fs;

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::{Attribute, Field, Fields, ImplItem, Item, ItemImpl, Type, UseTree};
use syn::{Visibility, parse_quote};

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
                        let definition =
                            definition.unwrap_or_else(|| panic!("{path:?} is foreign"));
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

// ---- What of an item is public.

fn without_private(mut item: Item) -> Item {
    match &mut item {
        Item::Fn(item) => *item.block = parse_quote!({}),
        Item::Struct(item) => show_fields(&mut item.fields),
        Item::Const(item) => *item.expr = parse_quote!(_),
        Item::Enum(_) | Item::Type(_) => {}
        other => panic!("this test has to learn about {}", text(other)),
    }
    item
}

/// Keeps the public fields, and one that says that there are others.
fn show_fields(fields: &mut Fields) {
    let list = match fields {
        Fields::Named(fields) => &mut fields.named,
        Fields::Unnamed(fields) => &mut fields.unnamed,
        Fields::Unit => return,
    };
    let is_shown = |field: &Field| is_public(&field.vis);
    let (mut kept, private): (Vec<_>, Vec<_>) =
        std::mem::take(list).into_iter().partition(is_shown);
    kept.extend(private.into_iter().take(1).map(|mut field| {
        field.ident = field.ident.map(|_| format_ident!("_"));
        field.ty = parse_quote!(Private);
        field
    }));
    *list = kept.into_iter().collect();
}

/// An impl with what of it can be named, by name; `None` if that is nothing.
fn shown_impl(mut found: ItemImpl) -> Option<ItemImpl> {
    let of_trait = found.trait_.is_some();
    found.items.retain_mut(|item| match item {
        ImplItem::Fn(item) => {
            item.block = parse_quote!({});
            !of_trait && is_public(&item.vis) && !is_hidden(&item.attrs)
        }
        ImplItem::Const(item) => {
            item.expr = parse_quote!(_);
            of_trait || is_public(&item.vis) && !is_hidden(&item.attrs)
        }
        ImplItem::Type(_) => true,
        other => panic!("this test has to learn about {}", text(other)),
    });
    found.items.sort_by_key(|item| match item {
        ImplItem::Fn(item) => item.sig.ident.to_string(),
        _ => String::new(),
    });
    (of_trait || !found.items.is_empty()).then_some(found)
}

/// The tokens without the attributes that no caller notices.
fn without_attributes(stream: TokenStream) -> TokenStream {
    const SHOWN: [&str; 6] = [
        "cfg",
        "default",
        "deprecated",
        "derive",
        "must_use",
        "non_exhaustive",
    ];
    let mut trees = stream.into_iter().peekable();
    let mut kept = vec![];
    while let Some(tree) = trees.next() {
        match (tree, trees.peek()) {
            (TokenTree::Punct(mark), Some(TokenTree::Group(attr))) if mark.as_char() == '#' => {
                let name = attr
                    .stream()
                    .into_iter()
                    .next()
                    .map(|name| name.to_string());
                match name.is_some_and(|name| SHOWN.contains(&name.as_str())) {
                    true => kept.push(mark.into()),
                    false => drop(trees.next()),
                }
            }
            (TokenTree::Group(group), _) => {
                let inner = without_attributes(group.stream());
                kept.push(Group::new(group.delimiter(), inner).into());
            }
            (tree, _) => kept.push(tree),
        }
    }
    kept.into_iter().collect()
}

fn is_hidden(attrs: &[Attribute]) -> bool {
    attrs
        .iter()
        .map(text)
        .any(|attr| attr == "# [doc (hidden)]" || is_for_tests(&attr))
}

fn is_for_tests(attr: &str) -> bool {
    attr.starts_with("# [cfg")
        && !attr.contains("not (")
        && (attr.contains("test") || attr.contains("\"internals\""))
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

// ---- Reading.

fn read_dir(dir: &str, module: &[String], into: &mut BTreeMap<Name, Vec<Item>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let name = join(module, stem);
        match path.is_dir() {
            true if stem != "bin" => read_dir(path.to_str().unwrap(), &name, into),
            false if stem != "main" => {
                let items = syn::parse_file(&fs::read_to_string(&path).unwrap())
                    .unwrap()
                    .items;
                let name = if ["lib", "mod"].contains(&stem) {
                    module
                } else {
                    &name
                };
                read_module(name, items, into);
            }
            _ => {}
        }
    }
}

/// Takes the items of a module, and those of the modules written out within it.
fn read_module(name: &[String], mut items: Vec<Item>, into: &mut BTreeMap<Name, Vec<Item>>) {
    items.retain(|item| !attrs(item).iter().any(|attr| is_for_tests(&text(attr))));
    for item in &mut items {
        if let Item::Mod(child) = item
            && let Some((_, items)) = child.content.take()
        {
            read_module(&join(name, &child.ident.to_string()), items, into);
        }
    }
    into.insert(name.to_vec(), items);
}

/// `a::{b, c as d}` as `(b, a::b)` and `(d, a::c)`.
fn leaves(tree: &UseTree) -> Vec<(String, Name)> {
    match tree {
        UseTree::Path(path) => {
            let under = leaves(&path.tree).into_iter();
            under
                .map(|(name, rest)| (name, [vec![path.ident.to_string()], rest].concat()))
                .collect()
        }
        UseTree::Name(name) => vec![(name.ident.to_string(), vec![name.ident.to_string()])],
        UseTree::Rename(name) => vec![(name.rename.to_string(), vec![name.ident.to_string()])],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
        UseTree::Glob(_) => vec![],
    }
}

fn type_path(of: &Type) -> Name {
    match of {
        Type::Path(path) => path
            .path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect(),
        Type::Reference(reference) => type_path(&reference.elem),
        _ => vec![],
    }
}

/// Attributes, visibility and name, of those kinds of items that have all three.
fn parts(item: &Item) -> (&[Attribute], &Visibility, Option<String>) {
    macro_rules! parts {
        ($($kind:ident)*) => {
            match item {
                $(Item::$kind(item) => (&item.attrs, &item.vis, Some(item.ident.to_string())),)*
                Item::Fn(item) => (&item.attrs, &item.vis, Some(item.sig.ident.to_string())),
                Item::Use(item) => (&item.attrs, &item.vis, None),
                Item::Impl(item) => (&item.attrs, &Visibility::Inherited, None),
                _ => (&[], &Visibility::Inherited, None),
            }
        };
    }
    parts!(Const Enum Mod Static Struct Trait TraitAlias Type Union)
}

fn attrs(item: &Item) -> &[Attribute] {
    parts(item).0
}

fn visibility(item: &Item) -> &Visibility {
    parts(item).1
}

fn ident(item: &Item) -> Option<String> {
    parts(item).2
}

fn join(module: &[String], name: &str) -> Name {
    [module, &[name.to_owned()]].concat()
}

fn text(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}
