package devdomain

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/devca"
	"github.com/svidgate/svidgate/internal/strictid"
)

// An Identity is one that the Workload API hands out.
type Identity struct {
	// Path is that of the SPIFFE ID, such as "/billing".
	Path string
	// Hint helps a client choose among several identities. It may be empty; if
	// not, no other identity has the same, for clients drop the second one.
	Hint string
}

// Config says what a Domain is.
type Config struct {
	// TrustDomain is the name, or spiffe:// and the name.
	TrustDomain string
	// Identities are at least one. The first is what a client gets that does not
	// choose.
	Identities []Identity
	// CA says what the authority makes. CA.Now is the clock of everything here.
	CA devca.Options
	// ServerCA signs the certificate of the bundle endpoint; nil means a fresh one.
	ServerCA *devca.ServerCA

	// SocketPath is the Unix socket of the Workload API, in a folder that exists.
	// The empty path means workload.sock in a fresh folder with mode 0700, removed
	// by Close. Systems limit such paths to about 100 bytes.
	SocketPath string
	// BundleAddress is where the bundle endpoint listens: a loopback IP address
	// and a port, which may be 0. Empty means 127.0.0.1:0.
	BundleAddress string

	// Log gets what goes wrong in the background, and rotations. nil means no log.
	Log *slog.Logger
}

// identity is an Identity that was checked.
type identity struct {
	id   spiffeid.ID
	path string
	hint string
}

// check returns every fault at once, and fills in what was left empty.
func (c *Config) check() ([]identity, error) {
	var faults []error
	td, err := strictid.TrustDomain(c.TrustDomain)
	if err != nil {
		faults = append(faults, fmt.Errorf("the trust domain: %w", err))
		td = spiffeid.RequireTrustDomainFromString("example.org") // to find the faults of the paths too
	}
	if len(c.Identities) == 0 {
		faults = append(faults, errors.New("there is no identity to hand out"))
	}
	identities := make([]identity, 0, len(c.Identities))
	paths, hints := map[string]bool{}, map[string]bool{}
	for i, want := range c.Identities {
		id, err := strictid.Workload(td.IDString() + want.Path)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("identity %d: %w", i, err))
		case paths[want.Path]:
			faults = append(faults, fmt.Errorf("identity %d: the path %s is there twice", i, want.Path))
		case want.Hint != "" && hints[want.Hint]:
			faults = append(faults, fmt.Errorf("identity %d: the hint %q is there twice", i, want.Hint))
		}
		paths[want.Path], hints[want.Hint] = true, true
		identities = append(identities, identity{id, want.Path, want.Hint})
	}
	if c.BundleAddress == "" {
		c.BundleAddress = "127.0.0.1:0"
	}
	// A name is refused too: it could come to mean another address.
	if host, _, err := net.SplitHostPort(c.BundleAddress); err != nil || !net.ParseIP(host).IsLoopback() {
		faults = append(faults, fmt.Errorf("the bundle address %q is not a loopback IP address with a port", c.BundleAddress))
	}
	if c.SocketPath != "" {
		if c.SocketPath, err = filepath.Abs(c.SocketPath); err != nil {
			faults = append(faults, fmt.Errorf("the socket path: %w", err))
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return identities, errors.Join(faults...)
}
