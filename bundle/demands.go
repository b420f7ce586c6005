package bundle

// Demands count what became of the wishes for a newer bundle, each of which is an
// SVID whose key or issuer the bundle at hand lacked (BE-17). They begin at 0
// with their trust domain; wishes that shared a fetch under way are not counted.
type Demands struct {
	Renewed   uint64 // another bundle came
	Unchanged uint64 // the source has no other: somebody invents keys, or verifies against another source
	Failed    uint64 // the source gave none that could be taken
	Limited   uint64 // nothing was fetched, for the last fetch was less than 30 s ago
}

// count adds a fetch that ended. Its caller holds the domain's mu. One that was
// given up because the process ends is none.
func (c *Demands) count(f *fetched) {
	switch {
	case !f.recorded:
	case f.err != nil:
		c.Failed++
	case f.changed():
		c.Renewed++
	default:
		c.Unchanged++
	}
}
