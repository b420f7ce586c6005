// Package devenv is the first day with Svidgate: a development trust domain, the
// authorization server and a protected API in one process, on free loopback
// ports, with TLS that is verified everywhere by a CA made on the spot.
//
// `svidgate demo` and `svidgate dev` show it. The server in it is the real one,
// started from a configuration file like any other; only the trust domain and
// the API are ours.
package devenv
