//go:build race

package e2e

// raceDetector says that the program is built with the race detector, too.
const raceDetector = true
