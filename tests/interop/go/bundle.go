package main

import (
	"context"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// bundleDocument reads a SPIFFE bundle document; inside a job it must hold what the Workload API says.
func bundleDocument(ctx context.Context, name, file string) error {
	td, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return err
	}
	b, err := spiffebundle.Load(td, file)
	if err != nil {
		return err
	}
	sequence, ok := b.SequenceNumber()
	if !ok {
		return fmt.Errorf("no sequence")
	}
	hint, ok := b.RefreshHint()
	if !ok {
		return fmt.Errorf("no refresh hint")
	}
	x509s, err := workloadapi.FetchX509Bundles(ctx)
	if err != nil {
		return err
	}
	jwts, err := workloadapi.FetchJWTBundles(ctx)
	if err != nil {
		return err
	}
	x, err := x509s.GetX509BundleForTrustDomain(td)
	if err != nil {
		return err
	}
	j, err := jwts.GetJWTBundleForTrustDomain(td)
	if err != nil {
		return err
	}
	if !b.X509Bundle().Equal(x) || !b.JWTBundle().Equal(j) {
		return fmt.Errorf("the document is not what the Workload API says")
	}
	event("bundle", map[string]any{"x509": len(b.X509Authorities()), "jwt": len(b.JWTAuthorities()),
		"sequence": sequence, "hint": hint.Seconds()})
	return nil
}
