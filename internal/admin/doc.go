// Package admin is the administration socket of a running server: an HTTP
// interface on a Unix socket that only the server's own user (and root) can
// open, and the client that the commands use.
//
// It shows the state of bundles and signing keys and changes it on request; each
// change is recorded in the audit record. It has a credential explained, which
// changes nothing and is logged nowhere, and finds decisions in the record. It
// issues no token and shows no private key.
package admin
