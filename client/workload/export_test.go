package workload

// Watched waits until nothing of the Workload API is followed any more.
func Watched(s *Source) { s.watched.Wait() }
