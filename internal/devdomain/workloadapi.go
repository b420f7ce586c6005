package devdomain

import (
	"context"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/svidgate/svidgate/internal/strictid"
)

// securityHeader has to be on every call. A browser or another confused deputy
// that reaches the socket cannot set it (CL-2).
const securityHeader = "workload.spiffe.io"

func checkHeader(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if !slices.Equal(md.Get(securityHeader), []string{"true"}) {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	return nil
}

func (d *Domain) workloadAPI() *grpc.Server {
	s := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := checkHeader(ctx); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := checkHeader(ss.Context()); err != nil {
				return err
			}
			return next(srv, ss)
		}),
		grpc.MaxRecvMsgSize(64<<10),
		grpc.MaxConcurrentStreams(100), // of one connection
		grpc.ConnectionTimeout(10*time.Second),
		grpc.WaitForHandlers(true), // Stop leaves nothing running
	)
	workload.RegisterSpiffeWorkloadAPIServer(s, &api{domain: d})
	return s
}

type api struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	domain *Domain
}

// stream sends the message that build makes of the state, and again whenever it
// has become another one. Each is complete and replaces the one before (CL-4).
func stream[M proto.Message](ctx context.Context, d *Domain, send func(M) error, build func(*state) (M, error)) error {
	var last proto.Message
	for {
		s, updated := d.current()
		message, err := build(s)
		if err != nil {
			return err
		}
		if last == nil || !proto.Equal(last, message) {
			if err := send(message); err != nil {
				return err
			}
			last = message
		}
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-updated:
		}
	}
}

func (a *api) FetchX509SVID(_ *workload.X509SVIDRequest, ss grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return stream(ss.Context(), a.domain, ss.Send, func(s *state) (*workload.X509SVIDResponse, error) {
		out := &workload.X509SVIDResponse{FederatedBundles: map[string][]byte{}}
		for i, identity := range a.domain.identities {
			key, err := s.svids[i].KeyDER()
			if err != nil {
				return nil, status.Error(codes.Internal, err.Error())
			}
			out.Svids = append(out.Svids, &workload.X509SVID{
				SpiffeId:    identity.id.String(),
				X509Svid:    s.svids[i].ChainDER(),
				X509SvidKey: key,
				Bundle:      s.own.der(),
				Hint:        identity.hint,
			})
		}
		for _, b := range s.federated {
			out.FederatedBundles[b.td.IDString()] = b.der()
		}
		return out, nil
	})
}

func (a *api) FetchX509Bundles(_ *workload.X509BundlesRequest, ss grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	return stream(ss.Context(), a.domain, ss.Send, func(s *state) (*workload.X509BundlesResponse, error) {
		out := &workload.X509BundlesResponse{Bundles: map[string][]byte{}}
		for _, b := range s.all() {
			out.Bundles[b.td.IDString()] = b.der()
		}
		return out, nil
	})
}

func (a *api) FetchJWTBundles(_ *workload.JWTBundlesRequest, ss grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	return stream(ss.Context(), a.domain, ss.Send, func(s *state) (*workload.JWTBundlesResponse, error) {
		out := &workload.JWTBundlesResponse{Bundles: map[string][]byte{}}
		for _, b := range s.all() {
			set, err := keySet(b.jwt, "jwt-svid")
			if err != nil {
				return nil, status.Error(codes.Internal, err.Error())
			}
			out.Bundles[b.td.IDString()] = set
		}
		return out, nil
	})
}

func (a *api) FetchJWTSVID(_ context.Context, req *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	if len(req.Audience) == 0 || slices.Contains(req.Audience, "") { // JS-8
		return nil, status.Error(codes.InvalidArgument, "audience must be specified")
	}
	wanted, err := a.wanted(req.SpiffeId)
	if err != nil {
		return nil, err
	}
	out := &workload.JWTSVIDResponse{}
	for _, i := range wanted {
		identity := a.domain.identities[i]
		token, err := a.domain.authority.JWTSVID(identity.path, req.Audience)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		out.Svids = append(out.Svids, &workload.JWTSVID{SpiffeId: identity.id.String(), Svid: token, Hint: identity.hint})
	}
	return out, nil
}

// FetchWITSVID is unimplemented in a trust domain without WIT-SVIDs, and a
// client falls back to another method (CL-6).
func (a *api) FetchWITSVID(req *workload.WITSVIDRequest, ss grpc.ServerStreamingServer[workload.WITSVIDResponse]) error {
	if !a.domain.config.CA.WIT {
		return a.UnimplementedSpiffeWorkloadAPIServer.FetchWITSVID(req, ss)
	}
	wanted, err := a.wanted(req.SpiffeId)
	if err != nil {
		return err
	}
	return stream(ss.Context(), a.domain, ss.Send, func(s *state) (*workload.WITSVIDResponse, error) {
		out := &workload.WITSVIDResponse{}
		for _, i := range wanted {
			identity := a.domain.identities[i]
			out.Svids = append(out.Svids, &workload.WITSVID{
				SpiffeId: identity.id.String(), WitSvid: s.wits[i].token, WitSvidKey: s.wits[i].jwk, Hint: identity.hint,
			})
		}
		return out, nil
	})
}

func (a *api) FetchWITBundles(req *workload.WITBundlesRequest, ss grpc.ServerStreamingServer[workload.WITBundlesResponse]) error {
	if !a.domain.config.CA.WIT {
		return a.UnimplementedSpiffeWorkloadAPIServer.FetchWITBundles(req, ss)
	}
	return stream(ss.Context(), a.domain, ss.Send, func(s *state) (*workload.WITBundlesResponse, error) {
		out := &workload.WITBundlesResponse{Bundles: map[string]string{}}
		for _, b := range s.all() {
			set, err := keySet(b.wit, "wit-svid")
			if err != nil {
				return nil, status.Error(codes.Internal, err.Error())
			}
			out.Bundles[b.td.IDString()] = string(set)
		}
		return out, nil
	})
}

// wanted are the indexes of the identities asked for: all of them when id is
// empty.
func (a *api) wanted(id string) ([]int, error) {
	var all []int
	for i, identity := range a.domain.identities {
		if identity.id.String() == id {
			return []int{i}, nil
		}
		all = append(all, i)
	}
	if id == "" {
		return all, nil
	}
	if _, err := strictid.Workload(id); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "spiffe_id is not valid: %v", err)
	}
	return nil, status.Error(codes.PermissionDenied, "the requested SPIFFE ID is not one of this workload")
}
