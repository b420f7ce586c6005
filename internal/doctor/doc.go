// Package doctor looks at the whole way of a workload to a token, one check after
// the other: the Workload API and its SVIDs, TLS to the authorization server, its
// metadata and keys, the clocks, one live token, and, where an operator lets it ask,
// the client that the server takes it for, its bundles, signing keys and use of older
// forms.
//
// Each check is a value in one list. It names the facts that it builds on, which
// earlier checks have established; where one is missing it is not judged, and says
// why. A check that fails says what to do next. It changes nothing but this: a token
// is asked for by each method, which the server records like any other.
//
// A finding is about this process, at this moment, from this place in the network.
// The package proves no identity and trusts no answer more than a client would: the
// live token is verified as an API verifies it.
package doctor
