// Package bundle holds SPIFFE trust bundles: it reads the document (rules BU-*),
// keeps the newest good one of each trust domain as an immutable [Snapshot]
// that is read without a lock, and fetches from the sources an operator
// configured (rules BE-*): a bundle endpoint, a file, or any other [Source].
//
// A bundle belongs to the trust domain under whose name it was configured,
// never to one derived from a URL, a certificate or a token (BU-18). Bundles of
// two trust domains are never merged (BU-19), and there is no system store.
//
// A server makes a [Set], calls [Set.Load] once and lets [Set.Run] poll.
// [Set.Bundle] is for every request, [Set.Refresh] for the rare one whose key is
// not in the bundle. How old a bundle may be is for its user to judge;
// [Set.Status] raises an alarm long before. With a folder, the last good document
// outlives a restart, with its age and its sequence (BE-15).
//
// [Set.Replace] changes the trust domains while all this goes on (BE-16).
// [Set.Fetch], [Set.Peek], [Compare] and [Snapshot.Entries] are for operators.
//
// Sources: SPIFFE Trust Domain and Bundle, SPIFFE Federation (July 2026).
package bundle
