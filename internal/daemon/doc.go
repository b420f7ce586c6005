// Package daemon is the life of an authorization server's process: it turns a
// configuration into listeners, watches what they serve, and stops them in
// order: readiness off, requests drained, trust domains and audit closed.
//
// It holds no rule of OAuth or SPIFFE; those are in the packages it wires
// together.
package daemon
