package workload

// Watched waits until nothing of the Workload API is followed any more.
func Watched(s *Source) { s.watched.Wait() }

// Troubled reports whether both streams are known to have broken.
func Troubled(s *Source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.troubled && s.witTroubled
}
