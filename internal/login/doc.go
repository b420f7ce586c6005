// Package login is how people sign in, and what they agreed to. It knows who
// somebody is from a password or from an OpenID Connect provider, remembers that for
// the browser that showed it, and keeps which client may have what in whose name.
//
// It serves no page and writes no cookie: internal/server does. Of what a browser
// holds the store has digests only (GL-13).
//
// Rules AZ-12, CC-3, GL-13 and GL-16 of docs/requirements.md; decision 23.
package login
