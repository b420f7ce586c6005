package svidgate

// Afresh is the identity without what differs between two judgements of the same
// credential: where its proof came from, and the address of what was read.
func (i Identity) Afresh() Identity {
	i.remembered, i.token = false, nil
	return i
}
