//! The source of a crate, as items by module.

use std::collections::BTreeMap;
use std::fs;

use quote::ToTokens;
use syn::{Attribute, Item, Type, UseTree, Visibility};

use super::Name;

/// Takes all modules in a directory and those below it.
pub(crate) fn read_dir(dir: &str, module: &[String], into: &mut BTreeMap<Name, Vec<Item>>) {
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
pub(crate) fn read_module(
    name: &[String],
    mut items: Vec<Item>,
    into: &mut BTreeMap<Name, Vec<Item>>,
) {
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
pub(crate) fn leaves(tree: &UseTree) -> Vec<(String, Name)> {
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
        // Nothing resolves to this, so that a public one is noticed.
        UseTree::Glob(_) => vec![("*".to_owned(), vec!["*".to_owned()])],
    }
}

pub(crate) fn type_path(of: &Type) -> Name {
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

pub(crate) fn attrs(item: &Item) -> &[Attribute] {
    parts(item).0
}

pub(crate) fn visibility(item: &Item) -> &Visibility {
    parts(item).1
}

pub(crate) fn ident(item: &Item) -> Option<String> {
    parts(item).2
}

pub(crate) fn join(module: &[String], name: &str) -> Name {
    [module, &[name.to_owned()]].concat()
}

pub(crate) fn text(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

pub(crate) fn is_hidden(attrs: &[Attribute]) -> bool {
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

pub(crate) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}
