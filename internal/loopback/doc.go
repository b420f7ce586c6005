// Package loopback says which names of a host are this machine and nothing else. It
// asks no resolver: a name that happens to lead here is none of them.
package loopback
