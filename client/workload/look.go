package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/exp/bundle/witbundle"
	"github.com/spiffe/go-spiffe/v2/exp/svid/witsvid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/oauth"
)

// Errors of [Look] wrap one of these where they say what to do next.
var (
	// ErrNoAddress is returned when neither the argument nor the environment names
	// a Workload API (CL-1).
	ErrNoAddress = fmt.Errorf("no address of the Workload API: set one or %s (CL-1)", workloadapi.SocketEnv)
	// ErrNoIdentity is returned by a Workload API that has none for this process.
	ErrNoIdentity = errors.New("the Workload API has no identity for this process")
	// ErrUnreachable is returned when no Workload API answers at the address.
	ErrUnreachable = errors.New("no Workload API answers")
)

// A View is what a Workload API gives this process at one moment.
type View struct {
	Address string
	// X509SVIDs are the identities, the default one first. They hold private keys.
	X509SVIDs []*x509svid.SVID
	// JWTSVIDs are for the audience asked for; nil when none was.
	JWTSVIDs []*jwtsvid.SVID
	// WITSVIDs hold private keys; nil where the Workload API has no such profile,
	// which is usual.
	WITSVIDs []*witsvid.SVID
	// X509Bundles, JWTBundles and WITBundles are nil where the Workload API has no
	// such profile.
	X509Bundles *x509bundle.Set
	JWTBundles  *jwtbundle.Set
	WITBundles  *witbundle.Set
}

// Format keeps keys and tokens out of whatever prints the View, under every verb
// (AU-2).
func (v View) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "view of %s: %d X.509-SVIDs, %d JWT-SVIDs, %d WIT-SVIDs", v.Address, len(v.X509SVIDs), len(v.JWTSVIDs), len(v.WITSVIDs))
}

// LogValue does the same for slog.
func (v View) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(v)) }

// Look asks a Workload API once, for people: each part one time, with no retry,
// and nothing is followed or kept. address is as in [Config]. With an audience it
// asks for JWT-SVIDs too, which some agents log.
//
// A profile that the Workload API does not have is left out; all else that fails is
// an error, which wraps ErrNoAddress, ErrUnreachable or ErrNoIdentity where it can.
// When only the JWT-SVIDs fail, the view is there beside the error. Nothing is
// verified.
func Look(ctx context.Context, address, audience string) (*View, error) {
	v := &View{Address: address}
	if v.Address == "" {
		v.Address = os.Getenv(workloadapi.SocketEnv)
	}
	if v.Address == "" {
		return nil, ErrNoAddress
	}
	if err := checkAddress(v.Address); err != nil {
		return nil, fmt.Errorf("workload: address %q: %w (CL-1)", oauth.Shown(v.Address), err)
	}
	api, err := workloadapi.New(ctx, workloadapi.WithAddr(v.Address))
	if err != nil {
		return nil, fmt.Errorf("workload: %w", err)
	}
	defer api.Close()
	all, err := api.FetchX509Context(ctx)
	if err = v.absent(err); err != nil {
		return nil, err
	}
	if all != nil {
		v.X509SVIDs, v.X509Bundles = all.SVIDs, all.Bundles
	}
	v.JWTBundles, err = api.FetchJWTBundles(ctx)
	if err = v.absent(err); err != nil {
		return nil, err
	}
	// That this kind is not for this process says nothing about the others.
	v.WITSVIDs, err = api.FetchWITSVIDs(ctx, "")
	if err = v.absent(err); err != nil && !errors.Is(err, ErrNoIdentity) {
		return nil, err
	}
	v.WITBundles, err = api.FetchWITBundles(ctx)
	if err = v.absent(err); err != nil && !errors.Is(err, ErrNoIdentity) {
		return nil, err
	}
	if audience == "" {
		return v, nil
	}
	v.JWTSVIDs, err = api.FetchJWTSVIDs(ctx, jwtsvid.Params{Audience: audience})
	return v, v.absent(err)
}

// absent turns what gRPC says into what there is to know; nil for a profile that is
// not there (CL-3).
func (v *View) absent(err error) error {
	switch status.Code(err) {
	case codes.OK, codes.Unimplemented:
		return nil
	case codes.PermissionDenied:
		return fmt.Errorf("workload: %w, says %s: is the workload registered?", ErrNoIdentity, v.Address)
	case codes.Unavailable:
		return fmt.Errorf("workload: %w at %s: is the agent running, is the socket mounted, may this user open it?", ErrUnreachable, v.Address)
	case codes.DeadlineExceeded:
		return fmt.Errorf("workload: %s did not answer in time: %w", v.Address, context.DeadlineExceeded)
	case codes.Canceled:
		return fmt.Errorf("workload: %w", context.Canceled)
	}
	return fmt.Errorf("workload: %s: %w", v.Address, err)
}
