package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/keys"
	"github.com/svidgate/svidgate/internal/revocation"
)

// A Revocation is something that is revoked.
type Revocation struct {
	Kind  revocation.Kind `json:"kind"`
	Value string          `json:"value"`
	// Before is when it was revoked: what was issued later is not dead.
	Before  time.Time `json:"revoked"`
	Expires time.Time `json:"expires"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"`
}

func revocationOf(e revocation.Entry) Revocation {
	return Revocation{e.Kind, e.Value, e.Before.UTC(), e.Expires.UTC(), e.Reason, e.By}
}

// maxOrder bounds what an operator sends to revoke something.
const maxOrder = 8 << 10

// An order is what an operator wants revoked.
type order struct {
	Kind   revocation.Kind `json:"kind"`
	Value  string          `json:"value"`
	Reason string          `json:"reason,omitempty"`
}

func (s *Server) revocations(w http.ResponseWriter, _ *http.Request) {
	all := []Revocation{}
	for _, e := range s.config.Revoked() {
		all = append(all, revocationOf(e))
	}
	answer(w, all)
}

// revoke does what an operator wants and records it (RV-4).
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	var o order
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		fail(w, http.StatusBadRequest, errors.New("that is no order to revoke something"))
		return
	}
	e, err := s.config.Revoke(r.Context(), o.Kind, o.Value, o.Reason, "admin socket, "+callerOf(r).who)
	if e.Kind == "" {
		status := http.StatusServiceUnavailable
		if errors.Is(err, revocation.ErrEntry) || errors.Is(err, keys.ErrUnknownKey) {
			status = http.StatusBadRequest
		}
		fail(w, status, err)
		return
	}
	// Something was done, perhaps not all of it.
	event := audit.Event{Event: audit.EventRevokeByAdmin, Revoked: string(e.Kind) + " " + e.Value, Note: e.Reason}
	if err := errors.Join(err, s.recorded(r, event)); err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, revocationOf(e))
}

// Revoke revokes what was issued up to now. reason may be empty.
func (c *Client) Revoke(ctx context.Context, kind revocation.Kind, value, reason string) (r Revocation, err error) {
	body, err := json.Marshal(order{kind, value, reason})
	if err != nil {
		return r, fmt.Errorf("admin: %w", err)
	}
	return r, c.call(ctx, http.MethodPost, "/revocations", body, &r)
}

// Revocations are all that is revoked now, the latest first.
func (c *Client) Revocations(ctx context.Context) (all []Revocation, err error) {
	return all, c.call(ctx, http.MethodGet, "/revocations", nil, &all)
}
