// Package workload gets a workload's SVIDs from the SPIFFE Workload API, for
// package client. It is the only part of the client that links gRPC.
//
// [Open] waits until the Workload API has answered, which on a young node may be
// long after the workload has started, and [Source] then follows every rotation.
// It holds what the Workload API said last and judges nothing: neither chains nor
// signatures. X.509 bundles are held for one purpose: to know a server by whose SPIFFE
// ID is pinned (client.Config.ServerID).
//
// Sources: SPIFFE Workload Endpoint, SPIFFE Workload API; rules CL-1 to CL-6.
package workload
