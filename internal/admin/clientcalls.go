package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// Clients is a part of the clients that are not in the configuration.
func (c *Client) Clients(ctx context.Context, f ClientFilter) (p ClientPage, err error) {
	q := url.Values{}
	for name, value := range map[string]string{"trust_domain": f.TrustDomain, "state": f.State, "client_id": f.ClientID, "after": f.After} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return p, c.call(ctx, http.MethodGet, "/clients?"+q.Encode(), nil, &p)
}

// ShowClient is all that is known of a client_id or a SPIFFE ID.
func (c *Client) ShowClient(ctx context.Context, id string) (s ClientSight, err error) {
	return s, c.call(ctx, http.MethodGet, "/client?"+url.Values{"id": {id}}.Encode(), nil, &s)
}

// ApproveClient lets a workload be a client that waits for it or was deleted.
func (c *Client) ApproveClient(ctx context.Context, id string) (ClientRecord, error) {
	return c.clientOrder(ctx, "approve", ClientOrder{ID: id})
}

// BlockClient cuts off a client_id or a SPIFFE ID.
func (c *Client) BlockClient(ctx context.Context, id, reason string) error {
	_, err := c.clientOrder(ctx, "block", ClientOrder{id, reason})
	return err
}

// UnblockClient ends that.
func (c *Client) UnblockClient(ctx context.Context, id string) error {
	_, err := c.clientOrder(ctx, "unblock", ClientOrder{ID: id})
	return err
}

// DeleteClient ends a client that registered on first use; nothing registers again
// under its SPIFFE ID.
func (c *Client) DeleteClient(ctx context.Context, id, reason string) (ClientRecord, error) {
	return c.clientOrder(ctx, "delete", ClientOrder{id, reason})
}

func (c *Client) clientOrder(ctx context.Context, what string, order ClientOrder) (r ClientRecord, err error) {
	body, err := json.Marshal(order)
	if err != nil {
		return r, err
	}
	return r, c.call(ctx, http.MethodPost, "/client/"+what, body, &r)
}

// Plan says what the configuration in a file, which the server reads, would do to
// clients.
func (c *Client) Plan(ctx context.Context, file string) (p Plan, err error) {
	body, err := json.Marshal(map[string]string{"file": file})
	if err != nil {
		return p, err
	}
	return p, c.call(ctx, http.MethodPost, "/plan", body, &p)
}
