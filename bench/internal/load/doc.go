// Package load sends token requests to a server on loopback and measures the
// answers. A [Job] says what is sent and how: connections kept, new or resumed;
// a closed loop, in which each connection waits for its answer before it asks
// again, or an open one, in which requests have a time at which they are due and
// latency counts from it. [Run] returns a [Result], which is also the JSON that
// bench/load prints.
//
// It speaks HTTP/1.1 over TLS by itself, because one core of generator has to
// keep one of the server busy and the client of net/http takes about a third more
// CPU. It is no client for use: no redirects, no proxies, no HTTP/2, and it goes
// nowhere but to loopback.
package load
