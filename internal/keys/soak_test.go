package keys

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
)

// A verifier is a resource server: it keeps a copy of the JWK Set for as long as
// it may and no longer, and on an unknown kid fetches at most once a minute
// (KR-6).
type verifier struct {
	fetch func() (jwks []byte, keep time.Duration, ok bool)

	last     []byte
	copy     map[string]*jose.JWK
	freshTo  time.Time
	demanded time.Time
	unknown  int // kids that a copy, fresh as it may be, had not
	fetches  int
}

func (v *verifier) refresh(t testing.TB) {
	jwks, keep, ok := v.fetch()
	if !ok {
		return // what it has is kept, as long as nobody answers
	}
	v.fetches++
	v.freshTo = time.Now().Add(keep)
	if bytes.Equal(jwks, v.last) {
		return
	}
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	v.last, v.copy = jwks, map[string]*jose.JWK{}
	for _, raw := range set.Keys {
		k, err := jose.ParseJWK(raw)
		if err != nil || v.copy[k.KeyID] != nil {
			t.Fatalf("KR-1 a kid twice or no key: %v: %s", err, jwks)
		}
		v.copy[k.KeyID] = &k
	}
}

// accepts judges a token by its kid, and if it is said to by its signature.
func (v *verifier) accepts(t testing.TB, token issued, wholly bool) bool {
	if time.Now().After(v.freshTo) {
		v.refresh(t)
	}
	k := v.copy[token.kid]
	if k == nil {
		v.unknown++
		if time.Since(v.demanded) >= time.Minute {
			v.demanded = time.Now()
			v.refresh(t)
			k = v.copy[token.kid]
		}
	}
	if k == nil || k.Algorithm != token.alg || !k.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(token.public) {
		return false
	}
	if !wholly {
		return true
	}
	compact, err := jose.ParseCompact(token.text)
	return err == nil && compact.Verify(k.Algorithm, k.Key) == nil
}

type issued struct {
	text    string
	kid     string
	alg     jose.Algorithm
	public  crypto.PublicKey
	expires time.Time
}

// A soak is simulated hours of one or several processes that share a file, of
// resource servers that ask any of them, and of what operators do meanwhile.
type soak struct {
	cfg       Config
	hours     time.Duration
	tick      time.Duration // between two tokens
	processes int
	// each is called before each token.
	each func(t testing.TB, s *soak, at time.Duration)
	// emergencies are the unknown kids that are allowed.
	emergencies bool

	rings []*Ring // nil where the process is stopped
	stops []func()
	keys  map[string]bool // that signed
}

func (s *soak) start(t testing.TB, i int) { s.rings[i], s.stops[i] = running(t, s.cfg) }
func (s *soak) stop(i int)                { s.stops[i](); s.rings[i] = nil }

// any is a process that runs, or nil.
func (s *soak) any(random *rand.Rand) *Ring {
	for _, i := range random.Perm(len(s.rings)) {
		if s.rings[i] != nil {
			return s.rings[i]
		}
	}
	return nil
}

func (s *soak) run(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s.cfg.File, s.keys = keyFile(t), map[string]bool{}
	s.rings, s.stops = make([]*Ring, s.processes), make([]func(), s.processes)
	for i := range s.rings {
		s.start(t, i)
	}
	verifiers := make([]*verifier, 4)
	for i := range verifiers {
		verifiers[i] = &verifier{fetch: func() ([]byte, time.Duration, bool) {
			ring := s.any(random)
			if ring == nil {
				return nil, 0, false
			}
			return ring.JWKS(), ring.CacheFor(), true
		}}
	}
	var live []issued
	accepted, refused := 0, 0
	start := time.Now()
	for time.Since(start) < s.hours {
		time.Sleep(s.tick + time.Duration(random.Int64N(int64(s.tick/4))))
		synctest.Wait()
		if s.each != nil {
			s.each(t, s, time.Since(start))
			synctest.Wait()
		}
		// Tokens are verified when they are new, at random ages, and in the last
		// moment in which a leeway of 60 s accepts them.
		keep := live[:0]
		for _, token := range live {
			left := time.Until(token.expires.Add(time.Minute))
			if left > 2*s.tick {
				keep = append(keep, token)
				if random.IntN(60) > 0 {
					continue
				}
			}
			if left <= 0 {
				t.Fatal("the ticks are too long")
			}
			for _, v := range verifiers {
				if v.accepts(t, token, false) {
					accepted++
				} else {
					refused++
				}
			}
		}
		live = keep
		ring := s.any(random)
		if ring == nil {
			continue
		}
		token := sign(t, ring.Signer(), s.cfg.LongestToken)
		s.keys[token.kid] = true
		for i, v := range verifiers {
			// Not all see each token, so that copies end at different times.
			if (len(s.keys)+i)%3 > 0 || random.IntN(2) == 0 {
				if v.accepts(t, token, i == 0 && random.IntN(4) == 0) {
					accepted++
				} else {
					refused++
				}
			}
		}
		live = append(live, token)
	}
	unknown, fetches := 0, 0
	for _, v := range verifiers {
		unknown, fetches = unknown+v.unknown, fetches+v.fetches
	}
	for i := range s.rings {
		if s.rings[i] != nil {
			s.stop(i)
		}
	}
	t.Logf("%d keys, %d times accepted, %d fetches", len(s.keys), accepted, fetches)
	if refused > 0 || unknown > 0 && !s.emergencies {
		t.Errorf("%d tokens refused, %d unknown kids", refused, unknown)
	}
	if accepted == 0 || fetches < 2*len(verifiers) {
		t.Error("nothing was tried")
	}
}

func sign(t testing.TB, signer Signer, life time.Duration) issued {
	text, err := jose.Sign(signer.Algorithm, signer.Key, fmt.Appendf(nil, `{"alg":%q,"kid":%q}`, signer.Algorithm, signer.KeyID), []byte(`{"sub":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	return issued{text, signer.KeyID, signer.Algorithm, signer.Key.Public(), time.Now().Add(life)}
}

// F11: rotation makes no resource server refuse a token, and no fresh copy lacks
// a key.
func TestF11RotationUnderLoad(t *testing.T) {
	const m, s = time.Minute, time.Second
	life := func(alg jose.Algorithm, every, ahead, longest time.Duration) Config {
		return Config{Algorithm: alg, RotateEvery: every, PublishAhead: ahead, LongestToken: longest}
	}
	at := func(each func(t testing.TB, s *soak)) func(testing.TB, *soak, time.Duration) {
		last := time.Duration(0)
		return func(t testing.TB, s *soak, now time.Duration) {
			if now-last >= 17*time.Minute {
				last = now
				each(t, s)
			}
		}
	}
	fail := func(t testing.TB, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	down := 0
	for name, row := range map[string]struct {
		soak
		least int // keys that sign
	}{
		"ES256":                {soak{cfg: life("ES256", 5*m, 2*m, 10*m), hours: 2 * time.Hour, tick: 10 * s, processes: 1}, 22},
		"EdDSA":                {soak{cfg: life("EdDSA", 5*m, 2*m, 10*m), hours: 2 * time.Hour, tick: 10 * s, processes: 1}, 22},
		"PS256":                {soak{cfg: life("PS256", 15*m, 3*m, 20*m), hours: 50 * m, tick: 25 * s, processes: 1}, 4},
		"RS256":                {soak{cfg: life("RS256", 15*m, 3*m, 20*m), hours: 50 * m, tick: 25 * s, processes: 1}, 4},
		"each minute":          {soak{cfg: life("ES256", m, 30*s, 5*m), hours: time.Hour, tick: 4 * s, processes: 1}, 57},
		"each few seconds":     {soak{cfg: life("EdDSA", 20*s, 10*s, m), hours: 10 * m, tick: s / 2, processes: 1}, 28},
		"two processes":        {soak{cfg: life("EdDSA", 5*m, 2*m, 10*m), hours: 2 * time.Hour, tick: 10 * s, processes: 2}, 22},
		"three, each minute":   {soak{cfg: life("EdDSA", m, 30*s, 5*m), hours: time.Hour, tick: 4 * s, processes: 3}, 55},
		"asked for, not alone": {soak{cfg: life("EdDSA", 0, 30*s, 10*m), hours: 2 * time.Hour, tick: 6 * s, processes: 2, each: at(func(t testing.TB, s *soak) { _, err := s.rings[0].Rotate(false); fail(t, err) })}, 7},
		"all algorithms": {soak{cfg: life("ES256", 0, 2*m, 10*m), hours: 3 * time.Hour, tick: 20 * s, processes: 1, each: at(func(t testing.TB, s *soak) {
			for i, alg := range Algorithms {
				if alg == s.cfg.Algorithm {
					s.cfg.Algorithm = Algorithms[(i+1)%len(Algorithms)]
					break
				}
			}
			fail(t, s.rings[0].Configure(s.cfg))
		})}, 9},
		"lifetimes change": {soak{cfg: life("ES256", 12*m, 5*m, 20*m), hours: 2 * time.Hour, tick: 6 * s, processes: 1, each: at(func(t testing.TB, s *soak) {
			s.cfg.RotateEvery, s.cfg.PublishAhead, s.cfg.LongestToken = m, 30*time.Second, 30*m
			if down++; down%2 == 0 {
				s.cfg.RotateEvery, s.cfg.PublishAhead, s.cfg.LongestToken = 12*m, 5*m, 20*m
			}
			fail(t, s.rings[0].Configure(s.cfg))
		})}, 45},
		"restarts and pauses": {soak{cfg: life("ES256", 5*m, 2*m, 10*m), hours: 4 * time.Hour, tick: 10 * s, processes: 1, each: func(t testing.TB, s *soak, now time.Duration) {
			switch minute := int(now/time.Minute) % 13; {
			case minute == 5 && s.rings[0] != nil:
				s.stop(0)
			case minute == 8 && s.rings[0] == nil:
				s.start(t, 0)
			}
		}}, 15},
		"one of two restarts": {soak{cfg: life("ES256", 5*m, 2*m, 10*m), hours: 4 * time.Hour, tick: 10 * s, processes: 2, each: func(t testing.TB, s *soak, now time.Duration) {
			switch minute := int(now/time.Minute) % 13; {
			case minute == 5 && s.rings[1] != nil:
				s.stop(1)
			case minute == 9 && s.rings[1] == nil:
				s.start(t, 1)
			}
		}}, 45},
		// Unknown kids are met, and one fetch makes good for each.
		"emergencies": {soak{cfg: life("EdDSA", 0, 2*m, 10*m), hours: 2 * time.Hour, tick: 10 * s, processes: 1, emergencies: true, each: at(func(t testing.TB, s *soak) { _, err := s.rings[0].Rotate(true); fail(t, err) })}, 7},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				row.run(t)
				if len(row.keys) < row.least {
					t.Errorf("%d keys signed, not %d", len(row.keys), row.least)
				}
			})
		})
	}
}
