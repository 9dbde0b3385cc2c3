//! What of an item a caller can see.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::format_ident;
use syn::{Field, Fields, ImplItem, Item, ItemImpl, parse_quote};

use super::source::{is_hidden, is_public, text};

/// The item without bodies, values and private fields.
pub(crate) fn without_private(mut item: Item) -> Item {
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
pub(crate) fn shown_impl(mut found: ItemImpl) -> Option<ItemImpl> {
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
pub(crate) fn without_attributes(stream: TokenStream) -> TokenStream {
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
