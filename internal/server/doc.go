// Package server is the authorization server as HTTP handlers. Its heart is the
// pipeline in endpoint.go: one value that only grows, from the parsed request to
// the recorded event, and one place that writes responses.
//
// Every stage belongs to a package of its own; this one puts them in order,
// counts, logs and answers. Listeners, TLS and the life of the process are
// package daemon's.
package server
