package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/world"
)

const (
	svidLife  = time.Hour
	renewAt   = svidLife / 2
	chainFor  = 50 * time.Minute // a refresh token is used that long after its grant,
	chainIdle = 25 * time.Minute // and after its last use; see day.config
	chains    = 64               // grants whose refresh tokens each worker uses
	tokenLife = 5 * time.Minute
)

// A kind is what a worker may do.
type kind int

const (
	keptSVID    kind = iota // a JWT-SVID that was presented before, renewed when it is half over
	freshSVID               // another JWT-SVID each time
	certificate             // the X.509-SVID of a connection, the same all day
	firstTime               // a workload that no server has seen
	again                   // one that has registered
	withProof               // WIT-SVID and another proof each time
	redeemed                // a code, and before it a visit of the person
	pushed                  // the same, of an authorization request that was pushed
	refreshed               // a refresh token
	active                  // introspection of a token that is good
	inactive                // and of one that has expired
	revoked                 // revocation, and introspection after it
	expired                 // an SVID that has expired, which is refused
	kinds
)

var kindNames = [kinds]string{
	"kept SVIDs", "fresh SVIDs", "certificates", "first uses", "registered before", "WIT-SVIDs with proof", "codes", "codes of pushed requests", "refresh tokens",
	"active", "inactive", "revoked", "expired SVIDs refused",
}

// mix is how often each is done, in thousandths. First uses come when they are due.
// There are so many fresh SVIDs and questions about tokens that what the server
// remembers of 65,536 and 8,192 of them is full by hour 6.
var mix = [kinds]int{keptSVID: 330, freshSVID: 320, certificate: 40, again: 60, withProof: 60, redeemed: 20, pushed: 10, refreshed: 90, active: 50, inactive: 10, revoked: 3, expired: 7}

// A worker is two connections and those who ask on them.
type worker struct {
	day    *day
	number int
	rand   *rand.Rand
	public line
	mtls   line // with a certificate
	tokens int
	done   [kinds]int

	svids   map[int]held[string]    // forms by client
	wits    map[int]held[world.WIT] // by client
	webs    [world.WebClients]held[world.Web]
	api     held[world.Web]
	chains  [chains]held[chain]
	next    int          // in chains
	last    held[string] // access token
	expired held[string] // one that is kept until it has
}

// A held thing was made at a time.
type held[T any] struct {
	value T
	made  time.Time
}

// A chain is a grant by its latest refresh token.
type chain struct {
	client int
	token  string
	used   time.Time
}

func newWorker(d *day, n int, public, mtls load.Dialer) *worker {
	return &worker{
		day: d, number: n, rand: rand.New(rand.NewPCG(1, uint64(n))), public: line{dialer: public}, mtls: line{dialer: mtls},
		svids: map[int]held[string]{}, wits: map[int]held[world.WIT]{},
	}
}

func (w *worker) close() {
	w.public.close()
	w.mtls.close()
}

// until works until it has so many tokens.
func (w *worker) until(ctx context.Context, tokens int) error {
	for w.tokens < tokens {
		if err := ctx.Err(); err != nil {
			return err
		}
		k := w.choose()
		if err := w.do(ctx, k); err != nil {
			return fmt.Errorf("%s: %w", kindNames[k], err)
		}
		w.done[k]++
	}
	return nil
}

func (w *worker) choose() kind {
	if w.day.came.Load() < w.day.due {
		return firstTime
	}
	n := w.rand.IntN(1000)
	for k, share := range mix {
		if n -= share; n < 0 {
			return kind(k)
		}
	}
	return keptSVID
}

func (w *worker) now() time.Time { return w.day.clock.Now() }

// client is one of those that only this worker asks for.
func (w *worker) client(of int) int { return w.rand.IntN(of/workers)*workers + w.number }

// of is what is held, made anew when half of its life is over.
func of[T any](h held[T], now time.Time, make func() (T, error)) (held[T], error) {
	if !h.made.IsZero() && now.Sub(h.made) < renewAt {
		return h, nil
	}
	v, err := make()
	return held[T]{v, now}, err
}

func (w *worker) do(ctx context.Context, k kind) (err error) {
	d, serial := w.day, w.day.serial.Add(1)
	switch k {
	case keptSVID:
		n := w.client(known)
		h, err := of(w.svids[n], w.now(), func() (string, error) { return d.world.JWTForm(n, serial, svidLife) })
		if err != nil {
			return err
		}
		w.svids[n] = h
		return w.token(ctx, h.value, nil)
	case freshSVID:
		form, err := d.world.JWTForm(w.client(known), serial, svidLife)
		if err != nil {
			return err
		}
		return w.token(ctx, form, nil)
	case certificate:
		return w.count(good(w.mtls.send(ctx, load.Message{Path: "/token", Form: world.X509Form(w.number), Keep: true})))
	case firstTime:
		n := d.came.Add(1) - 1
		form, err := d.world.NewcomerForm(int(n), serial, svidLife)
		if err != nil {
			return err
		}
		return w.token(ctx, form, nil)
	case again:
		n := d.came.Load()
		if n < workers { // nobody may have registered yet
			return nil
		}
		form, err := d.world.NewcomerForm(int(w.rand.Int64N(n)), serial, svidLife)
		if err != nil {
			return err
		}
		return w.token(ctx, form, nil)
	case withProof:
		n := w.client(withWIT)
		h, err := of(w.wits[n], w.now(), func() (world.WIT, error) { return d.world.WIT(known+n, svidLife) })
		if err != nil {
			return err
		}
		w.wits[n] = h
		header, err := h.value.Header(w.now())
		if err != nil {
			return err
		}
		return w.token(ctx, h.value.Form(), header)
	case redeemed, pushed:
		return w.redeem(ctx, k == pushed)
	case refreshed:
		return w.refresh(ctx)
	case active:
		if w.last.value == "" || w.now().Sub(w.last.made) >= tokenLife {
			return nil
		}
		return w.ask(ctx, w.last.value, true)
	case inactive:
		return w.askExpired(ctx)
	case revoked:
		return w.revoke(ctx)
	case expired:
		form, err := d.world.JWTForm(w.client(known), serial, -2*time.Minute)
		if err != nil {
			return err
		}
		answer, err := w.public.send(ctx, load.Message{Path: "/token", Form: form})
		if err == nil && (answer.Status != http.StatusUnauthorized || answer.Error != "invalid_client") {
			err = fmt.Errorf("an expired SVID has %s", answer.Kind())
		}
		return err
	}
	return errors.New("nobody does that")
}

// token asks for an access token.
func (w *worker) token(ctx context.Context, form string, header []string) error {
	_, err := w.tokensFor(ctx, form, header, false)
	return err
}

func (w *worker) tokensFor(ctx context.Context, form string, header []string, refresh bool) (world.Tokens, error) {
	body, err := w.post(ctx, "/token", form, header)
	if err != nil {
		return world.Tokens{}, err
	}
	t, err := world.ReadTokens(body, refresh)
	if err != nil {
		return t, err
	}
	w.tokens++
	if header == nil && !refresh { // of clients that are not revoked together
		w.last = held[string]{strings.Clone(t.Access), w.now()}
	}
	return t, nil
}

// count counts the token of an answer.
func (w *worker) count(body []byte, err error) error {
	if err == nil {
		_, err = world.ReadTokens(body, false)
	}
	if err == nil {
		w.tokens++
	}
	return err
}

func (w *worker) web(n int) (world.Web, error) {
	h, err := of(w.webs[n], w.now(), func() (world.Web, error) { return w.day.world.Web(n, w.day.serial.Add(1), svidLife) })
	w.webs[n] = h
	return h.value, err
}

// redeem has the person grant something and redeems the code.
func (w *worker) redeem(ctx context.Context, push bool) error {
	n := w.rand.IntN(world.WebClients)
	web, err := w.web(n)
	if err != nil {
		return err
	}
	code, err := w.code(ctx, n, web, push)
	if err != nil {
		return err
	}
	t, err := w.tokensFor(ctx, web.Redeem(code), nil, true)
	if err != nil {
		return err
	}
	w.chains[w.next] = held[chain]{chain{n, strings.Clone(t.Refresh), w.now()}, w.now()}
	w.next = (w.next + 1) % chains
	return nil
}

func (w *worker) code(ctx context.Context, n int, web world.Web, push bool) (string, error) {
	person := w.day.person.Load()
	if !push {
		return person.Code(ctx, n)
	}
	body, err := w.post(ctx, "/par", web.Push(), nil)
	if err != nil {
		return "", err
	}
	uri, err := world.ReadRequestURI(body)
	if err != nil {
		return "", err
	}
	return person.PushedCode(ctx, n, uri)
}

// refresh presents the latest refresh token of a grant. Where that has ended, or soon
// will have, there is another grant.
func (w *worker) refresh(ctx context.Context) error {
	h := &w.chains[w.rand.IntN(chains)]
	if h.value.token == "" || w.now().Sub(h.made) > chainFor || w.now().Sub(h.value.used) > chainIdle {
		return w.redeem(ctx, false)
	}
	web, err := w.web(h.value.client)
	if err != nil {
		return err
	}
	t, err := w.tokensFor(ctx, web.Refresh(h.value.token), nil, true)
	if err == nil {
		h.value.token, h.value.used = strings.Clone(t.Refresh), w.now()
	}
	return err
}

// ask introspects a token.
func (w *worker) ask(ctx context.Context, token string, want bool) error {
	var err error
	if w.api, err = of(w.api, w.now(), func() (world.Web, error) { return w.day.world.API(w.day.serial.Add(1), svidLife) }); err != nil {
		return err
	}
	body, err := w.post(ctx, "/introspect", w.api.value.About(token), nil)
	if err != nil {
		return err
	}
	return world.ReadActive(body, want)
}

// askExpired keeps a token until it has expired, and asks about it then.
func (w *worker) askExpired(ctx context.Context) error {
	if w.expired.value == "" {
		w.expired = w.last
	}
	if w.expired.value == "" || w.now().Sub(w.expired.made) <= tokenLife {
		return nil
	}
	token := w.expired.value
	w.expired = held[string]{}
	return w.ask(ctx, token, false)
}

// revoke is what a client does with a token of its own that it has no more use for.
func (w *worker) revoke(ctx context.Context) error {
	n := w.rand.IntN(world.WebClients)
	web, err := w.web(n)
	if err != nil {
		return err
	}
	t, err := w.tokensFor(ctx, web.Own(), nil, false)
	if err != nil {
		return err
	}
	w.last = held[string]{} // it is that one
	if err := w.ask(ctx, t.Access, true); err != nil {
		return err
	}
	if _, err := w.post(ctx, "/revoke", web.About(t.Access), nil); err != nil {
		return err
	}
	return w.ask(ctx, t.Access, false)
}

// post sends a form that is answered with a success.
func (w *worker) post(ctx context.Context, path, form string, header []string) ([]byte, error) {
	return good(w.public.send(ctx, load.Message{Path: path, Form: form, Header: header, Keep: true}))
}

// good is the body of a success.
func good(answer load.Answer, err error) ([]byte, error) {
	if err == nil && answer.Status != http.StatusOK && answer.Status != http.StatusCreated {
		err = errors.New(answer.Kind())
	}
	return answer.Body, err
}

// A line is the connection that there is to a listener, if there is one.
type line struct {
	dialer load.Dialer
	conn   *load.Conn
}

// send sends nothing twice: a code counts once.
func (l *line) send(ctx context.Context, m load.Message) (answer load.Answer, err error) {
	if l.conn == nil {
		if l.conn, err = l.dialer.Dial(ctx); err != nil {
			return answer, err
		}
	}
	answer, err = l.conn.Send(m, time.Minute)
	if err != nil || answer.Closed {
		l.close()
	}
	return answer, err
}

func (l *line) close() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}
