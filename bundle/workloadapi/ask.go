package workloadapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxMessage is the longest answer that is read. It holds the bundles of all
	// trust domains that the agent knows, so that it may be longer than a document
	// (maxDocument): otherwise one that nobody named could keep ours from us. It is
	// what gRPC clients allow by default, so an agent works within it anyway.
	maxMessage = 4 << 20
	// maxHeader bounds the metadata of an answer.
	maxHeader = 64 << 10
)

// A profile is one half of a bundle, with a call of its own.
type profile int

const (
	x509Profile profile = iota
	jwtProfile
	profiles // how many there are
)

func (p profile) String() string { return [...]string{"X.509 bundles", "JWT bundles"}[p] }

// An entry is what one answer says of the trust domain.
type entry struct {
	there bool // it may be there and empty
	data  []byte
	// withdrawn: the answer has bundles, and none of this trust domain. An answer
	// without any says nothing: the agent may have started a moment ago.
	withdrawn bool
}

// A sum tells entries apart.
type sum struct {
	there, withdrawn bool
	data             [sha256.Size]byte
}

func (e entry) sum() sum { return sum{e.there, e.withdrawn, sha256.Sum256(e.data)} }

// A connection is one to the Workload API. It is not made again when it breaks.
type connection struct {
	source *Source
	raw    net.Conn
	grpc   *grpc.ClientConn
	api    workload.SpiffeWorkloadAPIClient
}

// connect dials before gRPC does: its own errors repeat themselves, and it would
// try again by itself, at its own pace.
func (s *Source) connect(ctx context.Context) (*connection, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	raw, err := s.dial(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("%w; is the agent running, is the socket mounted, may this user open it?", oauth.ShownError(err))
	}
	var taken atomic.Bool
	client, err := grpc.NewClient("passthrough:///workload-api", // looks up nothing
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if taken.Swap(true) {
				return nil, errors.New("the connection is broken")
			}
			return raw, nil
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the endpoint demands no TLS (CL-2)
		grpc.WithAuthority("localhost"),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithMaxHeaderListSize(maxHeader),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithUserAgent("svidgate"),
	)
	if err != nil {
		raw.Close()
		return nil, oauth.ShownError(err)
	}
	return &connection{s, raw, client, workload.NewSpiffeWorkloadAPIClient(client)}, nil
}

func (c *connection) Close() {
	c.grpc.Close()
	c.raw.Close() // gRPC may never have asked for it
}

// answers gives what is said of the trust domain, one answer after the other.
type answers func() (entry, error)

// ask begins a call. Of an answer, the bundle under the SPIFFE ID of the trust
// domain is taken, byte for byte; all others are dropped unread (AV-1). Only that
// there are others is told where it is missing.
func (c *connection) ask(ctx context.Context, p profile) answers {
	// Nothing of the caller's own metadata goes along; this header must (CL-2).
	ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs("workload.spiffe.io", "true"))
	next := c.stream(ctx, p)
	return func() (entry, error) {
		bundles, err := next()
		if err != nil {
			return entry{}, explain(ctx, p, err)
		}
		data, ok := bundles[c.source.td.IDString()]
		return entry{ok, data, !ok && len(bundles) > 0}, nil
	}
}

// stream gives the bundles of each answer.
func (c *connection) stream(ctx context.Context, p profile) func() (map[string][]byte, error) {
	switch p {
	case x509Profile:
		stream, err := c.api.FetchX509Bundles(ctx, &workload.X509BundlesRequest{})
		return func() (map[string][]byte, error) {
			if err != nil {
				return nil, err
			}
			message, err := stream.Recv()
			return message.GetBundles(), err
		}
	default:
		stream, err := c.api.FetchJWTBundles(ctx, &workload.JWTBundlesRequest{})
		return func() (map[string][]byte, error) {
			if err != nil {
				return nil, err
			}
			message, err := stream.Recv()
			return message.GetBundles(), err
		}
	}
}

// first is the answer to a call that is ended after it.
func (c *connection) first(ctx context.Context, p profile) (entry, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return c.ask(ctx, p)()
}

// explain adds to what gRPC says what to do about it. What the agent wrote is
// made fit to print.
func explain(ctx context.Context, p profile, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: no answer before the end: %w", p, cause)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: the agent ended the stream", p)
	}
	shown := oauth.ShownError(err)
	switch status.Code(err) {
	case codes.PermissionDenied:
		return fmt.Errorf("%s: %w; the agent knows no identity for this process: is it registered?", p, shown)
	case codes.Unimplemented:
		return fmt.Errorf("%s: %w; this Workload API does not have them", p, shown)
	case codes.ResourceExhausted:
		return fmt.Errorf("%s: %w; an answer may have %d bytes", p, shown, maxMessage)
	}
	return fmt.Errorf("%s: %w", p, shown)
}

func notImplemented(err error) bool { return status.Code(err) == codes.Unimplemented }
