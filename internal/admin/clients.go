package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/oauth"
)

// A ClientRecord is what a server knows of one client that is not in its
// configuration, or of one workload of a client that is.
type ClientRecord struct {
	Kind        string     `json:"kind"`  // first_use or member
	State       string     `json:"state"` // active, pending or observed
	ClientID    string     `json:"client_id"`
	SPIFFEID    string     `json:"spiffe_id"`
	TrustDomain string     `json:"trust_domain"`
	Methods     []string   `json:"auth_methods"` // by which it has authenticated
	Created     *time.Time `json:"created,omitempty"`
	LastUsed    *time.Time `json:"last_used,omitempty"` // to the day
	// Template is the one that the configuration in force has for it, empty where it
	// has none: then it gets nothing.
	Template   string      `json:"template,omitempty"`
	Blocked    *Block      `json:"blocked,omitempty"` // it, or its client
	Provenance *Provenance `json:"provenance,omitempty"`
}

// Provenance is where a client comes from (RU-7).
type Provenance struct {
	Credential       string     `json:"credential,omitempty"`
	CredentialDigest string     `json:"credential_sha256,omitempty"`
	BundleSequence   *uint64    `json:"bundle_sequence,omitempty"`
	Template         string     `json:"template,omitempty"`
	TemplateDigest   string     `json:"template_sha256,omitempty"`
	ApprovedBy       string     `json:"approved_by,omitempty"`
	Approved         *time.Time `json:"approved,omitempty"`
}

// A Block is an operator's word on a client_id or a SPIFFE ID.
type Block struct {
	Subject string     `json:"subject"`
	Deleted bool       `json:"deleted,omitempty"` // a tombstone
	Reason  string     `json:"reason,omitempty"`
	By      string     `json:"by,omitempty"`
	At      *time.Time `json:"at,omitempty"`
}

// A ClientPage is a part of a list. Next is what to ask for to get the part behind
// it; empty at the end.
type ClientPage struct {
	Clients []ClientRecord `json:"clients"`
	Blocks  []Block        `json:"blocks,omitempty"` // where blocked or deleted was asked for
	Next    string         `json:"next,omitempty"`
}

// A ClientSight is all that is known of a client_id or a SPIFFE ID.
type ClientSight struct {
	ID string `json:"id"`
	// Configured are the clients of the configuration that have this client_id, or that
	// the SPIFFE ID belongs to.
	Configured []string       `json:"configured,omitempty"`
	Client     *ClientRecord  `json:"client,omitempty"`
	Workloads  []ClientRecord `json:"workloads,omitempty"` // members, the first of them
	Blocks     []Block        `json:"blocks,omitempty"`
}

// A ClientFilter selects from a list. State is one of a record, or blocked or
// deleted.
type ClientFilter struct {
	TrustDomain string
	State       string
	ClientID    string
	After       string
	Limit       int
}

// maxPage is how many clients one answer has.
const maxPage = 1000

// Clients is what a server does with clients for an operator.
type Clients interface {
	List(ctx context.Context, f ClientFilter) (ClientPage, error)
	// Show is ErrUnknownClient where nothing is known.
	Show(ctx context.Context, id string) (ClientSight, error)
	// MayApprove and MayUnblock say what stands against it, and change nothing.
	MayApprove(ctx context.Context, id, by string) (ClientRecord, error)
	MayUnblock(ctx context.Context, id string) error
	Approve(ctx context.Context, id, by string) (ClientRecord, error)
	Block(ctx context.Context, id, reason, by string) error
	Unblock(ctx context.Context, id string) error
	Delete(ctx context.Context, id, reason, by string) (ClientRecord, error)
	// Plan compares the configuration in force with the one in a file.
	Plan(ctx context.Context, file string) (Plan, error)
}

// ErrUnknownClient says that nothing is known of a client_id or a SPIFFE ID.
var ErrUnknownClient = errors.New("nothing is known of it")

// A ClientOrder is what an operator wants with a client.
type ClientOrder struct {
	ID     string `json:"id"`
	Reason string `json:"reason,omitempty"`
}

// maxReason and maxClientID bound what an operator writes.
const (
	maxReason   = 500
	maxClientID = 2048
)

func (s *Server) clientRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /clients", s.clients)
	mux.HandleFunc("GET /client", s.client)
	mux.HandleFunc("POST /client/approve", s.clientOrder(audit.EventClientApprove))
	mux.HandleFunc("POST /client/block", s.clientOrder(audit.EventClientBlock))
	mux.HandleFunc("POST /client/unblock", s.clientOrder(audit.EventClientUnblock))
	mux.HandleFunc("POST /client/delete", s.clientOrder(audit.EventClientDelete))
	mux.HandleFunc("POST /plan", s.plan)
}

func (s *Server) clients(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f := ClientFilter{TrustDomain: q.Get("trust_domain"), State: q.Get("state"), ClientID: q.Get("client_id"), After: q.Get("after"), Limit: maxPage}
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n > 0 {
		f.Limit = min(n, maxPage)
	}
	page, err := s.config.Clients.List(r.Context(), f)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	answer(w, page)
}

func (s *Server) client(w http.ResponseWriter, r *http.Request) {
	sight, err := s.config.Clients.Show(r.Context(), r.URL.Query().Get("id"))
	if err != nil {
		s.failClient(w, r.URL.Query().Get("id"), err)
		return
	}
	answer(w, sight)
}

func (s *Server) failClient(w http.ResponseWriter, id string, err error) {
	status := http.StatusConflict
	if errors.Is(err, ErrUnknownClient) {
		status = http.StatusNotFound
	}
	fail(w, status, fmt.Errorf("%s: %w", oauth.Shown(id), err))
}

// clientOrder does what an operator wants and records it. What gives access is
// recorded before, so that it is not given where it cannot be (GL-15); what takes
// access is done before, so that it is taken at once.
func (s *Server) clientOrder(event string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var order ClientOrder
		if err != nil || json.Unmarshal(body, &order) != nil {
			fail(w, http.StatusBadRequest, errors.New("the order is not what `svidgate client` sends"))
			return
		}
		if order.ID == "" || len(order.ID) > maxClientID || len(order.Reason) > maxReason {
			fail(w, http.StatusBadRequest, fmt.Errorf("a client_id or a SPIFFE ID has 1 to %d bytes, and a reason at most %d", maxClientID, maxReason))
			return
		}
		if strings.ContainsFunc(order.Reason, unicode.IsControl) {
			fail(w, http.StatusBadRequest, errors.New("a reason is one line"))
			return
		}
		by := callerOf(r).who
		var record ClientRecord
		switch ctx := r.Context(); event {
		case audit.EventClientApprove:
			record, err = s.config.Clients.MayApprove(ctx, order.ID, by)
		case audit.EventClientUnblock:
			err = s.config.Clients.MayUnblock(ctx, order.ID)
		}
		if err != nil {
			s.failClient(w, order.ID, err)
			return
		}
		line := func(of ClientRecord) audit.Event {
			return audit.Event{Event: event, ClientID: order.ID, SPIFFEID: of.SPIFFEID, TrustDomain: of.TrustDomain, Note: order.Reason, Template: of.Template}
		}
		before, gives := line(record), event == audit.EventClientApprove || event == audit.EventClientUnblock
		if gives {
			if err := s.recordedBefore(r, before); err != nil {
				fail(w, http.StatusInternalServerError, err)
				return
			}
		}
		switch ctx := r.Context(); event {
		case audit.EventClientApprove:
			record, err = s.config.Clients.Approve(ctx, order.ID, by)
		case audit.EventClientBlock:
			err = s.config.Clients.Block(ctx, order.ID, order.Reason, by)
		case audit.EventClientUnblock:
			err = s.config.Clients.Unblock(ctx, order.ID)
		case audit.EventClientDelete:
			record, err = s.config.Clients.Delete(ctx, order.ID, order.Reason, by)
		}
		if err != nil {
			if gives {
				s.notDone(r, before, err)
			}
			s.failClient(w, order.ID, err)
			return
		}
		if !gives {
			if err := s.recorded(r, line(record)); err != nil {
				fail(w, http.StatusInternalServerError, err)
				return
			}
		}
		answer(w, record)
	}
}

func (s *Server) plan(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var order struct {
		File string `json:"file"`
	}
	if err != nil || json.Unmarshal(body, &order) != nil || order.File == "" {
		fail(w, http.StatusBadRequest, errors.New("the question is not what `svidgate plan` sends"))
		return
	}
	plan, err := s.config.Clients.Plan(r.Context(), order.File)
	if err != nil {
		fail(w, http.StatusConflict, err)
		return
	}
	answer(w, plan)
}
