// Package policy decides who may have what: a question about a client, a
// resource and scopes becomes a decision that names the rule which decided.
// It denies by default.
//
// It is a leaf: it knows plain names only, no request, no credential and no
// clock, so that another engine can take the table's place and a resource server
// can ask it too (PO-1). Today the engine is a table from the configuration.
package policy
