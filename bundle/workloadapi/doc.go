// Package workloadapi takes the bundle of one trust domain from a SPIFFE
// Workload API: a [bundle.Watcher] that is asked like an endpoint, and tells
// when the bundle has changed. It is the only source that links gRPC.
//
// Prefer the trust domain's bundle endpoint. Behind a Workload API the server
// has to be a workload of some trust domain itself, and it takes the agent's
// word for which trust domains there are: a federated bundle arrives just as the
// agent's own does, and nothing in it tells who established that trust (AV-1).
// This source is for servers that no bundle endpoint is within reach of. Each
// trust domain has to name it in the configuration. It then takes the bundle
// under the SPIFFE ID of exactly that trust domain; whatever else the agent
// offers is neither used nor parsed (BU-18, BU-19).
//
// Whoever answers at the address decides which workloads are believed. So the
// socket has to lie in a folder that only the agent's owner can write to. Over
// tcp everyone on the way to the agent has that power, for nothing is encrypted
// or authenticated there: it is for the loopback interface, or for a network
// that authenticates both ends (Workload Endpoint section 3).
//
// What the Workload API lacks: a sequence, so that an old bundle cannot be told
// from a new one (BU-14 does nothing here), a refresh hint, and WIT-SVID keys
// where their profile is missing, which is why they are not asked for. It does
// not ask for SVIDs either: the server shows nobody an identity.
//
// Sources: SPIFFE Workload API sections 4, 5.2.2 and 6.2.2, SPIFFE Workload
// Endpoint sections 3 to 6; rules AV-1, CL-1 to CL-4.
package workloadapi
