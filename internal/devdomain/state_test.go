package devdomain

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/internal/devca"
)

func newDomain(t *testing.T, ca devca.Options) *Domain {
	t.Helper()
	d, err := New(Config{TrustDomain: "example.org", Identities: []Identity{{Path: "/a"}, {Path: "/b"}}, CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	go d.follow(t.Context())
	synctest.Wait()
	return d
}

func TestReissueAtHalfOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t, devca.Options{WIT: true}) // 1 h, and 5 min for the WIT-SVIDs
		first, _ := d.current()
		sequence := d.authority.Sequence()

		time.Sleep(2*time.Minute + 29*time.Second)
		synctest.Wait()
		if now, _ := d.current(); now.wits[0] != first.wits[0] {
			t.Error("WIT-SVIDs reissued before half of their life")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		now, _ := d.current()
		if now.wits[0] == first.wits[0] || now.wits[1] == first.wits[1] {
			t.Error("WIT-SVIDs not reissued at half of their life")
		}

		time.Sleep(29*time.Minute + 58*time.Second - 2*time.Minute - 31*time.Second)
		synctest.Wait()
		if now, _ := d.current(); !now.svids[0].Leaf().Equal(first.svids[0].Leaf()) {
			t.Error("X.509-SVIDs reissued before half of their life")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		now, _ = d.current()
		for i := range now.svids {
			if now.svids[i].Leaf().Equal(first.svids[i].Leaf()) {
				t.Errorf("X.509-SVID %d not reissued at half of its life", i)
			}
		}
		if d.authority.Sequence() != sequence {
			t.Error("a reissue changed the bundle")
		}
	})
}

func TestOldKeysLeaveWhenTheirLastSVIDExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t, devca.Options{})
		roots := func() int { return len(d.authority.Roots()) }
		keys := func() int { return len(d.authority.JWTKeys()) }
		if err := d.Rotate(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		if err := d.Rotate(); err != nil { // pushes the first one's end back too
			t.Fatal(err)
		}
		time.Sleep(time.Hour + leeway - time.Second)
		synctest.Wait()
		if roots() != 3 || keys() != 3 {
			t.Errorf("BU-22 %d roots and %d keys while SVIDs of theirs live", roots(), keys())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if roots() != 1 || keys() != 1 {
			t.Errorf("BU-22 %d roots and %d keys afterwards", roots(), keys())
		}
		if now, _ := d.current(); len(now.own.roots) != 1 || len(now.own.jwt) != 1 {
			t.Error("what is handed out still has them")
		}
	})
}

func TestRotationOfTheAuthorityIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t, devca.Options{WIT: true})
		first, _ := d.current()
		if err := d.authority.RotateX509(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		now, _ := d.current()
		if now.svids[0].Leaf().Equal(first.svids[0].Leaf()) || len(now.own.roots) != 2 {
			t.Error("the new root was not put to work")
		}
		if now.wits[0] != first.wits[0] {
			t.Error("the WIT-SVIDs were reissued without need")
		}
		if _, err := d.authority.RotateWITKey(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if now, _ = d.current(); now.wits[0] == first.wits[0] {
			t.Error("the new key for WIT-SVIDs was not put to work")
		}
	})
}

func TestStreamIsSilentWhenNothingChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomain(t, devca.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		var sent []*workload.JWTBundlesResponse
		ended := make(chan error, 1)
		go func() {
			ended <- stream(ctx, d, func(m *workload.JWTBundlesResponse) error { sent = append(sent, m); return nil },
				func(s *state) (*workload.JWTBundlesResponse, error) {
					set, err := keySet(s.own.jwt, "jwt-svid")
					return &workload.JWTBundlesResponse{Bundles: map[string][]byte{"td": set}}, err
				})
		}()
		for _, step := range []struct {
			name   string
			change func() error
			want   int
		}{
			{"nothing", func() error { return nil }, 1},
			{"new SVIDs", d.Reissue, 1},
			{"another root", d.authority.RotateX509, 1},
			{"another JWT key", func() error { _, err := d.authority.RotateJWTKey(); return err }, 2},
			{"the old JWT key gone", d.authority.RemoveOld, 3},
		} {
			if err := step.change(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if len(sent) != step.want {
				t.Errorf("after %s: %d messages about the JWT keys, want %d", step.name, len(sent), step.want)
			}
		}
		cancel()
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("the end: %v", err)
		}
	})
}

func FuzzValidate(f *testing.F) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	d, err := New(Config{
		TrustDomain: "example.org", Identities: []Identity{{Path: "/a"}}, CA: devca.Options{Now: func() time.Time { return now }},
	})
	if err != nil {
		f.Fatal(err)
	}
	good, err := d.authority.JWTSVID("/a", []string{"x"})
	if err != nil {
		f.Fatal(err)
	}
	foreign, err := d.authority.JWTSVID("/a", []string{"y"})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, foreign, "", "..", "e30.e30.e30", good + "=", good[:len(good)-1]} {
		f.Add(seed)
	}
	s, _ := d.current()
	f.Fuzz(func(t *testing.T, token string) {
		id, _, err := s.validate(token, "x", now)
		again, _, errAgain := s.validate(token, "x", now)
		if id != again || (err == nil) != (errAgain == nil) {
			t.Error("another answer the second time")
		}
		// Nobody but the authority signs, and it signed one token for this audience.
		if (err == nil) != (token == good) {
			t.Errorf("accepted: %v", err == nil)
		}
	})
}
