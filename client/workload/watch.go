package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/exp/svid/witsvid"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A watcher is what the Workload API's stream of X.509-SVIDs is read into.
type watcher struct {
	s    *Source
	stop context.CancelFunc // ends this watch and no other
}

// OnX509ContextUpdate is called by the watch for each message, which replaces
// everything before it: an identity that is missing is withdrawn (CL-4).
func (w watcher) OnX509ContextUpdate(update *workloadapi.X509Context) {
	s := w.s
	var offered []string
	for _, svid := range update.SVIDs {
		if !s.fits(svid.ID, svid.Hint) {
			offered = append(offered, describe(svid.ID, svid.Hint))
			continue
		}
		s.mu.Lock()
		news := s.svid == nil || s.troubled
		s.svid, s.bundles, s.err, s.troubled = svid, update.Bundles, nil, false
		s.mu.Unlock()
		if news {
			s.log.Info("X.509-SVID received from the Workload API", "spiffe_id", svid.ID.String())
		}
		s.settle()
		return
	}
	err := s.notOffered(offered)
	s.mu.Lock()
	s.svid, s.bundles, s.err = nil, update.Bundles, err
	s.mu.Unlock()
	s.trouble(err)
}

// OnX509ContextWatchError is called by the watch, which then tries again after a
// while. What was received before is kept: a node's agent that restarts must not
// take the identity away from its workloads.
func (w watcher) OnX509ContextWatchError(err error) {
	s := w.s
	if errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		return
	}
	// CL-3: a Workload API without this profile will not get it by being asked.
	if status.Code(err) == codes.Unimplemented {
		s.mu.Lock()
		s.noX509 = true
		s.mu.Unlock()
		w.stop()
	}
	s.trouble(explain(err))
}

// trouble keeps the reason, and logs it once until things are well again (F46).
func (s *Source) trouble(err error) {
	s.mu.Lock()
	before, have := s.troubled, s.svid != nil
	s.err, s.troubled = err, true
	s.mu.Unlock()
	switch {
	case before:
		s.log.Debug("the Workload API is still not ready", "address", s.address, "error", err)
	case have:
		s.log.Warn("the Workload API is away; the last X.509-SVID is used until it ends", "address", s.address, "error", err)
	default:
		s.log.Warn("waiting for the Workload API", "address", s.address, "error", err)
	}
}

// follow lets a stream of the Workload API be read along.
func (s *Source) follow(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, desc, cc, method, options...)
	if err != nil {
		return nil, err
	}
	return followed{stream, s}, nil
}

// A followed stream tells of messages without any SVID. To the library they are an
// error like a connection that broke, after which what was received is kept; they say
// the opposite (CL-4).
type followed struct {
	grpc.ClientStream
	s *Source
}

// RecvMsg is called by the watch of this stream, as its watcher is.
func (f followed) RecvMsg(message any) error {
	if err := f.ClientStream.RecvMsg(message); err != nil {
		return err
	}
	switch m := message.(type) {
	case *workload.X509SVIDResponse:
		if len(m.Svids) == 0 {
			watcher{s: f.s}.OnX509ContextUpdate(&workloadapi.X509Context{})
		}
	case *workload.WITSVIDResponse:
		if len(m.Svids) == 0 {
			witWatcher{f.s}.OnWITSVIDsUpdate(nil)
		}
	}
	return nil
}

// A witWatcher is what the Workload API's stream of WIT-SVIDs is read into.
type witWatcher struct{ s *Source }

// OnWITSVIDsUpdate is called by the watch for each message, which replaces
// everything before it (CL-4).
func (w witWatcher) OnWITSVIDsUpdate(update []*witsvid.SVID) {
	s := w.s
	var fitting []*witsvid.SVID
	var offered []string
	for _, svid := range update {
		// Asked for one identity, the Workload API may leave out its hint.
		if s.fits(svid.ID, svid.Hint) || !s.id.IsZero() && svid.ID == s.id && svid.Hint == "" {
			fitting = append(fitting, svid)
		} else {
			offered = append(offered, describe(svid.ID, svid.Hint))
		}
	}
	s.mu.Lock()
	news := len(s.wits) == 0 || s.witTroubled
	s.wits, s.witErr, s.witTroubled = fitting, nil, false
	s.mu.Unlock()
	if len(fitting) == 0 {
		s.witTrouble(s.notOffered(offered))
	} else if news {
		s.log.Info("WIT-SVID received from the Workload API", "spiffe_id", fitting[0].ID.String())
	}
	s.settleWIT()
}

// OnWITSVIDsWatchError is called by the watch, which then tries again after a while,
// but not where the Workload API has no WIT-SVIDs at all (CL-6). What was received
// before is kept.
func (w witWatcher) OnWITSVIDsWatchError(err error) {
	s := w.s
	if errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
		return
	}
	s.witTrouble(explain(err))
	if status.Code(err) != codes.Unavailable { // then nobody has answered
		s.settleWIT()
	}
}

// witTrouble keeps the reason. Nobody is told aloud that there never was a WIT-SVID:
// the other kinds do as well.
func (s *Source) witTrouble(err error) {
	s.mu.Lock()
	before, have := s.witTroubled, len(s.wits) > 0
	s.witErr, s.witTroubled = err, true
	s.mu.Unlock()
	if have && !before {
		s.log.Warn("the Workload API is away; the last WIT-SVID is used until it ends", "address", s.address, "error", err)
		return
	}
	s.log.Debug("no WIT-SVID from the Workload API", "address", s.address, "error", err)
}

// endWIT is called when the watch of WIT-SVIDs is over for good.
func (s *Source) endWIT(err error) {
	s.mu.Lock()
	if s.witErr == nil {
		s.witErr = fmt.Errorf("the connection is closed: %w", err)
	}
	s.mu.Unlock()
	s.settleWIT()
}

// end is called when the watch is over for good.
func (s *Source) end(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = fmt.Errorf("the connection is closed: %w", err)
	}
	s.mu.Unlock()
	s.settle()
}

// explain adds to what gRPC says what to do about it, and takes its frame off.
func explain(err error) error {
	next := ""
	switch status.Code(err) {
	case codes.PermissionDenied:
		next = "the agent knows no identity for this process: is the workload registered?"
	case codes.Unavailable:
		next = "is the agent running, is the socket mounted, may this user open it?"
	case codes.Unimplemented:
		next = "this Workload API does not have that kind of SVID"
	default:
		return err
	}
	text := status.Convert(err).Message()
	if _, dialled, ok := strings.Cut(text, "Error while dialing: "); ok {
		text = strings.TrimSuffix(dialled, `"`)
	}
	return &explained{text + "; " + next, err}
}

// An explained error is one of gRPC in our words.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

const (
	firstDelay = 250 * time.Millisecond
	maxDelay   = 5 * time.Second
)

// strategy is the back-off of the watch: go-spiffe's own grows to 30 seconds,
// which is long for a workload that cannot start.
type strategy struct{}

func (strategy) NewBackoff() workloadapi.Backoff { return &delays{} }

type delays struct{ n int }

// Next is the delay before the next attempt, each a fifth shorter or longer by
// chance: all workloads of a node lose their agent in the same moment.
func (d *delays) Next() time.Duration {
	delay := min(firstDelay<<min(d.n, 10), maxDelay)
	d.n++
	return time.Duration(float64(delay) * (0.8 + 0.4*rand.Float64()))
}

func (d *delays) Reset() { d.n = 0 }
