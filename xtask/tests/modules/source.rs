//! Modules of a crate: the items that each defines, its imports, and the paths it names.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Segments of a path.
pub(crate) type ItemPath = Vec<String>;

/// Module as its source declares it.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Path of the module whose file holds this one: its own, unless it is inline.
    pub(crate) file: ItemPath,
    /// Names that the module defines itself.
    pub(crate) items: BTreeSet<String>,
    /// Imported names and the paths that they stand for.
    pub(crate) imports: BTreeMap<String, ItemPath>,
    /// Paths of glob imports.
    pub(crate) globs: Vec<ItemPath>,
    /// Other paths of two segments and more.
    pub(crate) paths: BTreeSet<ItemPath>,
}

/// Modules of one crate by path; the root's is empty.
#[derive(Debug, Default)]
pub(crate) struct CrateModules(pub(crate) BTreeMap<ItemPath, Module>);

/// Keywords that are followed by the name of an item.
const ITEM_KEYWORDS: [&str; 9] =
    ["const", "enum", "fn", "static", "struct", "trait", "type", "union", "macro_rules"];

impl CrateModules {
    /// Reads the crate whose root is this file, and the modules that it declares.
    pub(crate) fn read(root: &Path) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(root)?;
        let directory = root.parent().ok_or("a file has a directory")?;
        let mut modules = Self::default();
        let mut declared = modules.add(&[], &text)?;
        while let Some(path) = declared.pop() {
            let stem = directory.join(path.join("/"));
            let file = [stem.with_extension("rs"), stem.join("mod.rs")]
                .into_iter()
                .find(|file| file.is_file())
                .ok_or_else(|| format!("cannot find module {}", stem.display()))?;
            declared.extend(modules.add(&path, &fs::read_to_string(file)?)?);
        }
        Ok(modules)
    }

    /// Parses files that are given as module path and text.
    pub(crate) fn parse(files: &[(&str, &str)]) -> Result<Self, Box<dyn Error>> {
        let mut modules = Self::default();
        for (path, text) in files {
            let path: ItemPath =
                path.split("::").filter(|s| !s.is_empty()).map(Into::into).collect();
            modules.add(&path, text)?;
        }
        Ok(modules)
    }

    /// Adds the module of a file; returns the paths of the files that it declares.
    fn add(&mut self, path: &[String], text: &str) -> Result<Vec<ItemPath>, Box<dyn Error>> {
        let tokens: TokenStream = text.parse().map_err(|_| format!("cannot parse {path:?}"))?;
        let mut declared = Vec::new();
        self.add_module(path, path, tokens, &mut declared);
        Ok(declared)
    }

    fn add_module(
        &mut self,
        path: &[String],
        file: &[String],
        tokens: TokenStream,
        declared: &mut Vec<ItemPath>,
    ) {
        let mut module = Module { file: file.to_vec(), ..Module::default() };
        let mut inline = Vec::new();
        let mut tokens = Tokens::new(tokens);
        while !tokens.is_at_end() {
            if tokens.skip_test_item() {
                continue;
            }
            match tokens.ident().as_deref() {
                Some("mod") => {
                    tokens.advance();
                    let Some(name) = tokens.ident() else { continue };
                    let child = [path, &[name]].concat();
                    tokens.advance();
                    match tokens.peek() {
                        Some(TokenTree::Group(body)) => inline.push((child, body.stream())),
                        _ => declared.push(child),
                    }
                    tokens.advance();
                }
                Some(keyword) if ITEM_KEYWORDS.contains(&keyword) => {
                    tokens.advance();
                    if tokens.is_punct('!') {
                        tokens.advance();
                    }
                    module.items.extend(tokens.ident());
                }
                _ => module.read_token(&mut tokens),
            }
        }
        self.0.insert(path.to_vec(), module);
        for (child, body) in inline {
            self.add_module(&child, file, body, declared);
        }
    }
}

impl Module {
    /// Reads an import, a path, the contents of a group, or one other token.
    fn read_token(&mut self, tokens: &mut Tokens) {
        match tokens.ident().as_deref() {
            Some("use") => {
                tokens.advance();
                self.read_use_tree(tokens, &[]);
            }
            Some(_) => {
                let path = tokens.path();
                if path.len() > 1 {
                    self.paths.insert(path);
                }
            }
            None => match tokens.peek() {
                Some(TokenTree::Group(group)) => {
                    let group = group.stream();
                    tokens.advance();
                    self.read_body(Tokens::new(group));
                }
                _ => tokens.advance(),
            },
        }
    }

    /// Reads what a pair of delimiters holds.
    fn read_body(&mut self, mut tokens: Tokens) {
        while !tokens.is_at_end() {
            if !tokens.skip_test_item() {
                self.read_token(&mut tokens);
            }
        }
    }

    /// Reads a use tree below a prefix.
    fn read_use_tree(&mut self, tokens: &mut Tokens, prefix: &[String]) {
        tokens.skip_path_separator();
        let path = [prefix, &tokens.path()].concat();
        match tokens.peek() {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let mut trees = Tokens::new(group.stream());
                tokens.advance();
                while !trees.is_at_end() {
                    self.read_use_tree(&mut trees, &path);
                    trees.advance();
                }
            }
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                tokens.advance();
                self.globs.push(path);
            }
            _ => self.read_imported_name(tokens, path),
        }
    }

    /// Records the name under which a path is imported.
    fn read_imported_name(&mut self, tokens: &mut Tokens, mut path: ItemPath) {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if tokens.ident().as_deref() == Some("as") {
            tokens.advance();
            // Each `_` imports another trait.
            name = match tokens.ident() {
                Some(alias) if alias != "_" => alias,
                _ => path.join("::"),
            };
            tokens.advance();
        }
        self.imports.insert(name, path);
    }
}

/// Position in a list of tokens.
struct Tokens {
    tokens: Vec<TokenTree>,
    position: usize,
}

impl Tokens {
    fn new(stream: TokenStream) -> Self {
        Self { tokens: stream.into_iter().collect(), position: 0 }
    }

    fn is_at_end(&self) -> bool {
        self.position >= self.tokens.len()
    }

    fn peek_at(&self, offset: usize) -> Option<&TokenTree> {
        self.tokens.get(self.position + offset)
    }

    fn peek(&self) -> Option<&TokenTree> {
        self.peek_at(0)
    }

    fn advance(&mut self) {
        self.position += 1;
    }

    fn ident_at(&self, offset: usize) -> Option<String> {
        match self.peek_at(offset)? {
            TokenTree::Ident(ident) => Some(ident.to_string().trim_start_matches("r#").to_owned()),
            _ => None,
        }
    }

    fn ident(&self) -> Option<String> {
        self.ident_at(0)
    }

    fn is_punct_at(&self, offset: usize, expected: char) -> bool {
        matches!(self.peek_at(offset), Some(TokenTree::Punct(p)) if p.as_char() == expected)
    }

    fn is_punct(&self, expected: char) -> bool {
        self.is_punct_at(0, expected)
    }

    fn skip_path_separator(&mut self) {
        if self.is_punct(':') && self.is_punct_at(1, ':') {
            self.position += 2;
        }
    }

    /// Reads `a::b::c`, up to generic arguments, a group or a star; one token at least if it is an
    /// identifier.
    fn path(&mut self) -> ItemPath {
        let mut path = ItemPath::new();
        while let Some(segment) = self.ident() {
            path.push(segment);
            self.advance();
            if !(self.is_punct(':') && self.is_punct_at(1, ':')) {
                break;
            }
            self.position += 2;
        }
        path
    }

    /// Skips an item, statement or arm that is compiled for tests only.
    fn skip_test_item(&mut self) -> bool {
        let Some(mut end) = self.attribute_end(0) else { return false };
        if !is_for_tests(self.peek_at(end - 1)) {
            return false;
        }
        while let Some(next) = self.attribute_end(end) {
            end = next;
        }
        self.position += end;
        // An item ends with a block or a semicolon.
        while let Some(token) = self.peek() {
            let ends = matches!(token, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace)
                && self.ident_at(1).as_deref() != Some("else");
            let ends = ends || self.is_punct(';') || self.is_punct(',');
            self.advance();
            if ends {
                // `use a::{b, c};` has a semicolon after its braces.
                if self.is_punct(';') {
                    self.advance();
                }
                break;
            }
        }
        true
    }

    /// Returns the offset after the attribute at this offset.
    fn attribute_end(&self, offset: usize) -> Option<usize> {
        let is_attribute = self.is_punct_at(offset, '#')
            && matches!(self.peek_at(offset + 1), Some(TokenTree::Group(g))
                if g.delimiter() == Delimiter::Bracket);
        is_attribute.then_some(offset + 2)
    }
}

/// Returns true for `[cfg(test)]` and `[cfg(all(test, …))]`.
fn is_for_tests(attribute: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(attribute)) = attribute else { return false };
    let tokens = Tokens::new(attribute.stream());
    let names = |group: &Group| group.stream().to_string();
    match (tokens.ident().as_deref(), tokens.peek_at(1)) {
        (Some("cfg"), Some(TokenTree::Group(condition))) => {
            let condition = names(condition);
            condition == "test"
                || condition.starts_with("all (test")
                || condition.starts_with("all(test")
        }
        _ => false,
    }
}
