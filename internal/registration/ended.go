package registration

import "github.com/spiffe/go-spiffe/v2/spiffeid"

// Ended reports whether nothing that a client, or a workload of it, was given is good
// any more: it is blocked, or registered on first use and was deleted (RU-6, RU-8). The
// zero ID is no workload. A client that is configured may have a SPIFFE ID that was
// deleted.
func (r *Registry) Ended(clientID string, id spiffeid.ID) bool {
	if r.ledger == nil {
		return false
	}
	if _, blocked := r.BlockOf(clientID, id); blocked {
		return true
	}
	if id.IsZero() || clientID != id.String() || r.named(clientID) != nil {
		return false
	}
	_, deleted := r.ledger.tombstone(id)
	return deleted
}
