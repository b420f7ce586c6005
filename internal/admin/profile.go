package admin

import (
	"errors"
	"net/http"
	"runtime/pprof"
	"slices"
	"strconv"
	"time"
)

// ProfileCPU is the profile that is taken over a time; the others show the moment
// they are asked.
const ProfileCPU = "cpu"

// Profiles are what a server can show of itself, in the format of go tool pprof.
// None of them holds a value that a request carried: they count functions.
func Profiles() []string { return []string{ProfileCPU, "heap", "allocs", "goroutine"} }

const (
	// MaxProfile is the longest CPU profile.
	MaxProfile     = 2 * time.Minute
	defaultProfile = 10 * time.Second
)

// profile writes one profile. Of a goroutine it shows functions and counts, never
// arguments, which could be an assertion.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	kind := r.PathValue("kind")
	if kind == ProfileCPU {
		s.cpuProfile(w, r)
		return
	}
	p := pprof.Lookup(kind)
	if p == nil || !slices.Contains(Profiles(), kind) {
		fail(w, http.StatusNotFound, errors.New("there is no such profile"))
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	p.WriteTo(w, 0) // an error here is the peer's
}

func (s *Server) cpuProfile(w http.ResponseWriter, r *http.Request) {
	over := defaultProfile
	if text := r.URL.Query().Get("seconds"); text != "" {
		seconds, err := strconv.Atoi(text)
		if over = time.Duration(seconds) * time.Second; err != nil || over < time.Second || over > MaxProfile {
			fail(w, http.StatusBadRequest, errors.New("seconds is a whole number from 1 to 120"))
			return
		}
	}
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Now().Add(over + 10*time.Second)); err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := pprof.StartCPUProfile(w); err != nil {
		fail(w, http.StatusConflict, errors.New("a CPU profile is being taken already"))
		return
	}
	defer pprof.StopCPUProfile()
	timer := time.NewTimer(over)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}
