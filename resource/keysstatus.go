package resource

import "time"

// KeysStatus says how RemoteKeys are doing.
type KeysStatus struct {
	Issuer    string
	Usable    bool // tokens can be verified
	Stale     bool // older than StaleAfter (LD-3)
	FetchedAt time.Time
	KeyIDs    []string
	LeftOut   []LeftOut
	Err       error // of the last fetch
}

// Status is for readiness checks and for operators.
func (k *RemoteKeys) Status() KeysStatus {
	k.mu.Lock()
	st := KeysStatus{Issuer: k.issuer, Err: k.lastErr}
	k.mu.Unlock()
	if set := k.current.Load(); set != nil {
		st.Usable = k.usable(set)
		st.Stale = k.now().Sub(set.fetchedAt) >= StaleAfter
		st.FetchedAt, st.KeyIDs, st.LeftOut = set.fetchedAt, set.KeyIDs(), set.LeftOut()
	}
	return st
}
