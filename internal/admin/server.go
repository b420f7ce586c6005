package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/bundle"
	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/explain"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/revocation"
	"github.com/svidgate/svidgate/oauth"
)

// maxBody is a bundle document and a little more.
const maxBody = 1<<20 + 1<<10

// Config is what a Server works on. All of it is required.
type Config struct {
	Path    string // of the socket
	Bundles *bundle.Set
	Keys    *keys.Ring
	Audit   *audit.Log
	// Reload reads the configuration again and records that; why says who asked.
	Reload func(why string) error
	// Explain judges a credential as the server would now, and changes nothing.
	Explain func(context.Context, explain.Question) (explain.Report, error)
	// Revoke revokes what was issued, and knows when that is over. Revoked is all that
	// is revoked now, the latest first.
	Revoke  func(ctx context.Context, kind revocation.Kind, value, reason, by string) (revocation.Entry, error)
	Revoked func() []revocation.Entry
	// Decision finds a decision in the audit record.
	Decision func(ctx context.Context, requestID string) (explain.Decision, error)
	// Clients are those that are not in the configuration, and blocks.
	Clients Clients
	// People are those who sign in.
	People login.State
	// StoreInMemory is whether blocks, revocations and people end with the process.
	StoreInMemory bool
	Now           func() time.Time
	Log           *slog.Logger
}

// A Server answers on the administration socket.
type Server struct {
	config Config
	http   *http.Server
	socket *socket
}

// Open makes the socket. It answers once Serve runs.
func Open(ctx context.Context, c Config) (*Server, error) {
	l, err := listen(ctx, c.Path)
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, socket: l}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bundles", s.bundles)
	mux.HandleFunc("GET /bundles/{name}", s.bundle)
	mux.HandleFunc("GET /bundles/{name}/difference", s.differenceToSource)
	mux.HandleFunc("POST /bundles/{name}/difference", s.differenceToDocument)
	mux.HandleFunc("POST /bundles/{name}/refresh", s.refresh)
	mux.HandleFunc("GET /keys", s.keys)
	mux.HandleFunc("POST /keys/rotate", s.rotate)
	mux.HandleFunc("POST /keys/{kid}/remove", s.remove)
	mux.HandleFunc("GET /revocations", s.revocations)
	mux.HandleFunc("POST /revocations", s.revoke)
	mux.HandleFunc("POST /reload", s.reload)
	mux.HandleFunc("GET /store", s.store)
	mux.HandleFunc("GET /profiles/{kind}", s.profile)
	mux.HandleFunc("POST /explain", s.explain)
	mux.HandleFunc("GET /decisions/{id}", s.decision)
	s.clientRoutes(mux)
	s.peopleRoutes(mux)
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // a refresh waits for its endpoint
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			who, allowed := peer(conn)
			return context.WithValue(ctx, callerKey{}, caller{who, allowed})
		},
	}
	s.http.Handler = s.ownersOnly(mux)
	return s, nil
}

// Path is where the socket is.
func (s *Server) Path() string { return s.config.Path }

// Serve answers until Close.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.socket); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

// Close ends the server and removes the socket. Requests in hand have five seconds.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	s.socket.Close() // when Serve never ran
	return err
}

type callerKey struct{}

// A caller is the process at the other end.
type caller struct {
	who     string
	allowed bool
}

func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// ownersOnly refuses every other user of this machine.
func (s *Server) ownersOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if c := callerOf(r); !c.allowed {
			s.config.Log.Warn("admin socket: refused", "caller", c.who)
			fail(w, http.StatusForbidden, errors.New("only the user that the server runs as, and root, may do this"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(body) // an error here is the peer's
}

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(problem{err.Error()})
}

// recorded keeps what an operator changed in the audit record. It was done
// already: that it could not be recorded is an error for the operator to know.
func (s *Server) recorded(r *http.Request, e audit.Event) error {
	if err := s.record(r, "changed by an operator", audit.Granted, e); err != nil {
		return fmt.Errorf("it was done, but could not be recorded: %w", err)
	}
	return nil
}

// recordedBefore keeps in the audit record what an operator is about to change. An
// error is to keep it from being done.
func (s *Server) recordedBefore(r *http.Request, e audit.Event) error {
	if err := s.record(r, "to be changed by an operator", audit.Granted, e); err != nil {
		return fmt.Errorf("it was not done, because it could not be recorded: %w", err)
	}
	return nil
}

// notDone says of what recordedBefore kept that nothing came of it.
func (s *Server) notDone(r *http.Request, e audit.Event, why error) {
	e.Reason, e.Note = string(oauth.ReasonInternal), oauth.Shown("not done: "+why.Error())
	if err := s.record(r, "not changed", audit.Refused, e); err != nil {
		s.config.Log.Error("that an operator's order was not carried out could not be recorded", "event", e.Event, "client_id", oauth.Shown(e.ClientID), "error", err.Error())
	}
}

func (s *Server) record(r *http.Request, what, outcome string, e audit.Event) error {
	e.Outcome, e.RequestID, e.Source = outcome, rand.Text(), "admin socket, "+callerOf(r).who
	s.config.Log.Info(what, "event", e.Event, "caller", e.Source, "request_id", e.RequestID, "trust_domain", e.TrustDomain, "kid", e.KeyID, "client_id", oauth.Shown(e.ClientID))
	_, err := s.config.Audit.Record(context.WithoutCancel(r.Context()), e)
	return err
}

func (s *Server) bundles(w http.ResponseWriter, _ *http.Request) {
	all := []Bundle{}
	for _, st := range s.config.Bundles.Status() {
		all = append(all, bundleOf(st))
	}
	answer(w, all)
}

// named is the trust domain of a path.
func named(r *http.Request) (spiffeid.TrustDomain, error) {
	td, err := spiffeid.TrustDomainFromString(r.PathValue("name"))
	if err != nil {
		return td, fmt.Errorf("%s is not the name of a trust domain", oauth.Shown(r.PathValue("name")))
	}
	return td, nil
}

func (s *Server) bundle(w http.ResponseWriter, r *http.Request) {
	td, err := named(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	for _, st := range s.config.Bundles.Status() {
		if st.TrustDomain == td {
			b := bundleOf(st)
			if snapshot, err := s.config.Bundles.Bundle(td); err == nil {
				b.Entries = entriesOf(snapshot.Entries())
			}
			answer(w, b)
			return
		}
	}
	s.failBundle(w, td, bundle.ErrUnknownTrustDomain)
}

// failBundle answers with what is wrong with a trust domain.
func (s *Server) failBundle(w http.ResponseWriter, td spiffeid.TrustDomain, err error) {
	status := http.StatusBadGateway
	if errors.Is(err, bundle.ErrUnknownTrustDomain) || errors.Is(err, bundle.ErrNotReady) {
		status = http.StatusNotFound
	}
	fail(w, status, fmt.Errorf("%s: %w", td.Name(), err))
}

// differenceToSource compares with what the source says now, and takes nothing.
func (s *Server) differenceToSource(w http.ResponseWriter, r *http.Request) {
	td, err := named(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	other, err := s.config.Bundles.Peek(r.Context(), td)
	if err != nil {
		s.failBundle(w, td, err)
		return
	}
	s.difference(w, td, other)
}

// differenceToDocument compares with a document that the operator has.
func (s *Server) differenceToDocument(w http.ResponseWriter, r *http.Request) {
	td, err := named(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	document, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, errors.New("the document is too long, or did not arrive"))
		return
	}
	other, err := bundle.Parse(td, document, time.Now())
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	s.difference(w, td, other)
}

func (s *Server) difference(w http.ResponseWriter, td spiffeid.TrustDomain, other *bundle.Snapshot) {
	inUse, err := s.config.Bundles.Bundle(td)
	if err != nil {
		s.failBundle(w, td, err)
		return
	}
	answer(w, differenceOf(inUse, other))
}

// refresh asks the source now, whatever the schedule. With accept_older=true a
// bundle with a lower sequence than the one in use is taken (BU-14).
func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	td, err := named(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	older := r.URL.Query().Get("accept_older") == "true"
	change, err := s.config.Bundles.Fetch(r.Context(), td, bundle.FetchOptions{AcceptOlder: older})
	if err != nil {
		s.failBundle(w, td, err)
		return
	}
	event := audit.Event{Event: audit.EventBundleRefresh, TrustDomain: td.Name()}
	if older {
		event.Event = audit.EventBundleOverride
	}
	event.BundleSequence, event.HasBundleSequence = change.After.Sequence()
	if err := s.recorded(r, event); err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	d := differenceOf(change.Before, change.After)
	d.Warning = change.Warning
	answer(w, d)
}

func (s *Server) keys(w http.ResponseWriter, _ *http.Request) {
	answer(w, s.config.Keys.List())
}

// rotate makes the next key; with now=true it signs at once.
func (s *Server) rotate(w http.ResponseWriter, r *http.Request) {
	change, err := s.config.Keys.Rotate(r.URL.Query().Get("now") == "true")
	s.keyChange(w, r, audit.EventKeyRotate, change, err)
}

// remove ends a key at once (KR-3).
func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	change, err := s.config.Keys.Remove(r.PathValue("kid"))
	s.keyChange(w, r, audit.EventKeyRemove, change, err)
}

// keyChange records what was done and answers. A change that may not survive a
// loss of power was done all the same.
func (s *Server) keyChange(w http.ResponseWriter, r *http.Request, event string, change keys.Change, err error) {
	if err != nil && !errors.Is(err, keys.ErrUnsynced) {
		fail(w, http.StatusConflict, err)
		return
	}
	if len(change.Steps) > 0 { // nothing changes when a key is pending already
		err = errors.Join(err, s.recorded(r, audit.Event{Event: event, KeyID: change.Key.ID}))
	}
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, change)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if err := s.config.Reload("admin socket, " + callerOf(r).who); err != nil {
		fail(w, http.StatusConflict, err)
		return
	}
	answer(w, struct{}{})
}
