// Package proven remembers what was proven once, so that the same proof need not
// be made again: a signature that was good, a path that led to an anchor.
//
// It holds positive results only, in the memory of one process, and forgets them
// as it likes: a result that is gone is proven again. It judges nothing. Whatever
// a result depends on belongs into its key, and what changes with time is judged
// by whoever asks, each time.
package proven
