// Package ratelimit keeps a token bucket per key, such as a peer's address or a
// client, in a bounded memory (GL-16). A flood of keys makes it forget the ones
// that were quiet longest, never grow.
package ratelimit
