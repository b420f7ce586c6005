package devdomain

import (
	"testing"
	"testing/synctest"
	"time"

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
