// Package world makes all that stands around a server while it is measured: trust
// domains with their bundle files, a TLS certificate, SVIDs that are really
// signed, configurations, and the forms of token requests. It lies in one folder,
// so that the server and the generator can be two processes.
//
// The folder has private keys of trust domains that exist for one measurement.
// Nothing here is for use.
package world
