// Package jose is the module's one door to JSON Web Signatures: compact tokens,
// algorithms with the keys that fit them, and public JSON Web Keys.
//
// Splitting and reading a token is ours, because what must be refused (JS-1,
// JS-2, JS-20, GL-9) is what libraries tolerate: padding, stray bits,
// duplicate names, other serializations. The algorithms are the standard
// library's. Reading and writing JWKs and their thumbprints is go-jose's.
//
// The package decides nothing about claims: not time, not audience, not who may
// sign. Its callers do.
package jose
