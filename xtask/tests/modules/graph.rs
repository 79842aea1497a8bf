//! Imports between the files of a crate, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{CrateModules, ItemPath, Module};

/// Items that a file uses, by the file that defines them.
type Uses = BTreeMap<ItemPath, BTreeSet<String>>;

/// Dependencies between the files of a crate.
#[derive(Debug, Default)]
pub(crate) struct Graph(BTreeMap<ItemPath, Uses>);

/// Limit of re-exports that lead to one item, against imports that lead to each other.
const MAX_RE_EXPORTS: u8 = 16;

/// Place that a path names.
enum Target<'a> {
    /// Module of this crate.
    Module(ItemPath),
    /// Item of a module of this crate.
    Item(ItemPath, &'a str),
}

impl Graph {
    /// Resolves every import and path of a crate.
    pub(crate) fn of(modules: &CrateModules) -> Self {
        let mut graph = Self::default();
        for (path, module) in &modules.0 {
            let uses = graph.0.entry(module.file.clone()).or_default();
            for named in module.imports.values().chain(&module.paths) {
                if let Some(Target::Item(target, item)) = modules.resolve(path, named, 0)
                    && let Some(target) = modules.0.get(&target)
                    && target.file != module.file
                {
                    uses.entry(target.file.clone()).or_default().insert(item.to_owned());
                }
            }
            for glob in &module.globs {
                if let Some(Target::Module(target)) = modules.resolve(path, glob, 0)
                    && let Some(target) = modules.0.get(&target)
                    && target.file != module.file
                {
                    uses.entry(target.file.clone()).or_default().insert("*".to_owned());
                }
            }
        }
        graph
    }

    /// Describes each strongly connected component of more than one file, with its edges.
    pub(crate) fn circles(&self) -> Vec<String> {
        let mut circles = Vec::new();
        let mut seen = BTreeSet::new();
        let reachable: BTreeMap<_, _> =
            self.0.keys().map(|file| (file, self.reachable(file))).collect();
        for (file, from_file) in &reachable {
            let in_circle = |other: &&&ItemPath| {
                from_file.contains(**other)
                    && reachable.get(**other).is_some_and(|from_other| from_other.contains(file))
            };
            let members: Vec<&ItemPath> = reachable.keys().filter(in_circle).copied().collect();
            if members.len() > 1 && seen.insert(members.clone()) {
                circles.push(self.describe(&members));
            }
        }
        circles
    }

    /// Files that a file depends on, directly or not.
    fn reachable(&self, file: &ItemPath) -> BTreeSet<&ItemPath> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&ItemPath> = vec![file];
        while let Some(file) = open.pop() {
            for target in self.0.get(file).into_iter().flat_map(Uses::keys) {
                if found.insert(target) {
                    open.push(target);
                }
            }
        }
        found
    }

    fn describe(&self, members: &[&ItemPath]) -> String {
        let names: Vec<String> = members.iter().map(|member| name(member)).collect();
        let mut text = format!("  circle of {}: {}", members.len(), names.join(", "));
        for member in members {
            for (target, items) in self.0.get(*member).into_iter().flatten() {
                if members.contains(&target) {
                    let items: Vec<&str> = items.iter().map(String::as_str).collect();
                    let (from, to) = (name(member), name(target));
                    text.push_str(&format!("\n    {from} -> {to} ({})", items.join(", ")));
                }
            }
        }
        text
    }
}

fn name(file: &[String]) -> String {
    if file.is_empty() { "(root)".to_owned() } else { file.join("::") }
}

impl CrateModules {
    /// Finds the module, or the item and its defining module, that a path in `module` names.
    fn resolve<'a>(
        &'a self,
        module: &[String],
        path: &'a [String],
        depth: u8,
    ) -> Option<Target<'a>> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(ItemPath::new()),
            "self" => Target::Module(module.to_vec()),
            "super" => Target::Module(module.split_last()?.1.to_vec()),
            name => self.lookup(module, name, depth)?,
        };
        self.descend(start, rest, depth)
    }

    fn descend<'a>(
        &'a self,
        start: Target<'a>,
        path: &'a [String],
        depth: u8,
    ) -> Option<Target<'a>> {
        match (start, path.split_first()) {
            (Target::Module(module), Some((first, rest))) => {
                let next = match first.as_str() {
                    "super" => Target::Module(module.split_last()?.1.to_vec()),
                    name => self.lookup(&module, name, depth).unwrap_or(Target::Item(module, name)),
                };
                self.descend(next, rest, depth)
            }
            // Variants and associated items belong to their type.
            (found, _) => Some(found),
        }
    }

    /// Finds a name in a module: a child module, an item, an import, or a glob import's.
    fn lookup<'a>(&'a self, module: &[String], name: &'a str, depth: u8) -> Option<Target<'a>> {
        let child = [module, &[name.to_owned()]].concat();
        let Module { items, imports, globs, .. } = self.0.get(module)?;
        if self.0.contains_key(&child) {
            return Some(Target::Module(child));
        }
        if items.contains(name) {
            return Some(Target::Item(module.to_vec(), name));
        }
        if depth > MAX_RE_EXPORTS {
            return None;
        }
        if let Some(imported) = imports.get(name) {
            // An import of another crate, such as `use tokio;`, leads to itself.
            return if imported.first().is_some_and(|first| first == name) {
                None
            } else {
                self.resolve(module, imported, depth + 1)
            };
        }
        globs.iter().find_map(|glob| match self.resolve(module, glob, depth + 1)? {
            Target::Module(target) => self.lookup(&target, name, depth + 1),
            Target::Item(..) => None,
        })
    }
}
