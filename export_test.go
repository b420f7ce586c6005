package svidgate

// Afresh is the identity without the word on where its proof came from.
func (i Identity) Afresh() Identity {
	i.remembered = false
	return i
}
