// Package config reads the YAML configuration of `svidgate serve`, and is the
// only importer of the YAML library.
//
// [Load] and [Parse] give a [Config] in which every default is filled in, every
// path is absolute and every value lies within its limits, or a [Faults] with
// everything that is wrong, each fault with its file, line and column. A file
// that is not YAML has one fault, because nothing after it can be judged.
//
// What is not checked: whether certificates, keys and bundles named by the file
// exist and fit together. The packages that read them say so when they do. The
// one file that is judged here besides the configuration is the table that
// `trust_domains: FILE` names.
//
// A server that runs loads again when [Config.Changed] says so, and asks
// [Config.NeedsRestart] before it takes the new configuration over.
//
// The strict side of YAML only: no key twice, no unknown key, no anchors,
// aliases, merge keys, tags or directives (so nothing in a file can expand), one
// document of at most 1 MiB of UTF-8, nested at most 32 deep. A JSON file is
// valid YAML, so the trust-domain table of the founding draft (section 5.1.1) is
// read as it stands.
//
// Documents: PRODUCT.md (the contract of the file), client-authentication 10,
// 13, 15.2, rules SI-13, BE-1, BE-2, AM-2. docs/configuration.md is the
// manual for operators and names every key.
package config
