// Package page makes the pages that a person sees when they sign in, are asked for
// consent, look at what they agreed to, or cannot be helped. They need no script,
// load nothing from elsewhere, and show nothing of a peer's that is not escaped.
//
// A page knows what it shows and how browsers are to treat it (AZ-11, GL-6). When to
// show which is internal/server's.
package page
