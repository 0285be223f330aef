// mfinterop: a stranger's view of Mayfly. It speaks to the agent through go-spiffe only and knows nothing of ours.
//
//	mfinterop fetch                    one X.509 context; prints what it holds and checks chain and key
//	mfinterop watch N                  until N updates came, or an error; one line each
//	mfinterop bundles N                the same for FetchX509Bundles
//	mfinterop bundle TD FILE           a SPIFFE bundle document of TD, against what the Workload API says
//	mfinterop jwt AUD...               a JWT-SVID for these audiences, checked locally and by ValidateJWTSVID
//	mfinterop tokens N AUD             JWT-SVIDs all the time, each checked by the keys that a JWTSource holds and by
//	                                   ValidateJWTSVID, until N keys have signed
//	mfinterop server ID PORTFILE       mTLS echo server for callers with SPIFFE ID ID, from an X509Source
//	mfinterop reflect TARGET [S/M]     what gRPC reflection at TARGET says of all services; calls method M of S by it
//	mfinterop client ID PORTFILE N     connects until N different serials of its own and of the server were seen
//
// Events are JSON lines. SPIFFE_ENDPOINT_SOCKET names the socket. Exit codes: 0 done, 1 failed, 7 PERMISSION_DENIED.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// hang is the limit of every wait: far more than anything takes.
const hang = 5 * time.Minute

func event(name string, fields map[string]any) {
	fields["event"] = name
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

func describe(s *x509svid.SVID) map[string]any {
	c := s.Certificates[0]
	return map[string]any{
		"id": s.ID.String(), "hint": s.Hint, "serial": serial(c), "cn": c.Subject.CommonName,
		"not_before": c.NotBefore.Unix(), "not_after": c.NotAfter.Unix(), "chain": len(s.Certificates),
	}
}

// verify checks what a relying party would: the chain leads to the bundle, the key fits, the URI SAN is the ID.
func verify(s *x509svid.SVID, src x509bundle.Source) error {
	id, _, err := x509svid.Verify(s.Certificates, src)
	if err != nil {
		return err
	}
	if id != s.ID {
		return fmt.Errorf("chain says %s, SVID says %s", id, s.ID)
	}
	raw, err := x509.MarshalPKIXPublicKey(s.PrivateKey.Public())
	if err != nil {
		return err
	}
	leaf, err := x509.MarshalPKIXPublicKey(s.Certificates[0].PublicKey)
	if err != nil {
		return err
	}
	if string(raw) != string(leaf) {
		return errors.New("the key is not the certificate's")
	}
	return nil
}

func show(c *workloadapi.X509Context) error {
	var svids []map[string]any
	for _, s := range c.SVIDs {
		if err := verify(s, c.Bundles); err != nil {
			return fmt.Errorf("SVID %s: %w", s.ID, err)
		}
		svids = append(svids, describe(s))
	}
	var domains []string
	for _, b := range c.Bundles.Bundles() {
		domains = append(domains, fmt.Sprintf("%s:%d", b.TrustDomain(), len(b.X509Authorities())))
	}
	event("x509", map[string]any{"svids": svids, "bundles": domains})
	return nil
}

// watcher counts updates; done carries the reason to stop.
type watcher struct {
	want int
	done chan error
}

func (w *watcher) count(err error) {
	w.want--
	if err != nil || w.want <= 0 {
		select {
		case w.done <- err:
		default:
		}
	}
}
func (w *watcher) OnX509ContextUpdate(c *workloadapi.X509Context) { w.count(show(c)) }
func (w *watcher) OnX509ContextWatchError(err error)              { w.failed(err) }
func (w *watcher) OnX509BundlesUpdate(s *x509bundle.Set) {
	var domains []string
	for _, b := range s.Bundles() {
		domains = append(domains, fmt.Sprintf("%s:%d", b.TrustDomain(), len(b.X509Authorities())))
	}
	event("bundles", map[string]any{"bundles": domains})
	w.count(nil)
}
func (w *watcher) OnX509BundlesWatchError(err error) { w.failed(err) }

// failed: go-spiffe reconnects by itself after most errors, and so does not stop here; a refusal ends the watch.
func (w *watcher) failed(err error) {
	code := status.Code(err)
	if code == codes.Canceled {
		return
	}
	event("error", map[string]any{"code": code.String(), "text": err.Error()})
	if code == codes.PermissionDenied || code == codes.InvalidArgument {
		select {
		case w.done <- err:
		default:
		}
	}
}

func watch(ctx context.Context, n string, bundles bool) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	w := &watcher{want: count, done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		var err error
		if bundles {
			err = workloadapi.WatchX509Bundles(ctx, w)
		} else {
			err = workloadapi.WatchX509Context(ctx, w)
		}
		select {
		case w.done <- err:
		default:
		}
	}()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jwt fetches a token, verifies it with the keys of FetchJWTBundles, asks the agent about it, and about others in vain.
func jwt(ctx context.Context, audiences []string) error {
	c, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	params := jwtsvid.Params{Audience: audiences[0], ExtraAudiences: audiences[1:]}
	svid, err := c.FetchJWTSVID(ctx, params)
	if err != nil {
		return err
	}
	bundles, err := c.FetchJWTBundles(ctx)
	if err != nil {
		return err
	}
	own, err := jwtsvid.ParseAndValidate(svid.Marshal(), bundles, audiences)
	if err != nil {
		return err
	}
	asked, err := c.ValidateJWTSVID(ctx, svid.Marshal(), audiences[0])
	if err != nil {
		return err
	}
	if own.ID != svid.ID || asked.ID != svid.ID || len(svid.Audience) != len(audiences) {
		return fmt.Errorf("%v, %v and %v for %v", svid.ID, own.ID, asked.ID, svid.Audience)
	}
	for token, audience := range map[string]string{svid.Marshal(): "somebody else", svid.Marshal() + "x": audiences[0]} {
		if _, err := c.ValidateJWTSVID(ctx, token, audience); status.Code(err) != codes.InvalidArgument {
			return fmt.Errorf("a bad token: %v", err)
		}
	}
	params.Subject = svid.ID
	again, err := c.FetchJWTSVID(ctx, params)
	if err != nil {
		return err
	}
	event("jwt", map[string]any{"id": svid.ID.String(), "audience": svid.Audience, "exp": svid.Expiry.Unix(),
		"hint": svid.Hint, "cached": again.Marshal() == svid.Marshal()})
	return nil
}

func kid(token string) (string, error) {
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return "", err
	}
	var h struct{ Kid string }
	return h.Kid, json.Unmarshal(raw, &h)
}

// tokens: none is refused, whatever happens to the keys meanwhile.
func tokens(ctx context.Context, n, audience string) error {
	want, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	source, err := workloadapi.NewJWTSource(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	c, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	seen, count := map[string]bool{}, 0
	for len(seen) < want {
		svid, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
		if err != nil {
			return err
		}
		id, err := kid(svid.Marshal())
		if err != nil {
			return err
		}
		if _, err := jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{audience}); err != nil {
			return fmt.Errorf("token %d of key %s: %w", count, id, err)
		}
		if _, err := c.ValidateJWTSVID(ctx, svid.Marshal(), audience); err != nil {
			return fmt.Errorf("token %d of key %s, asked: %w", count, id, err)
		}
		if !seen[id] {
			event("token", map[string]any{"kid": id, "id": svid.ID.String()})
		}
		seen[id] = true
		count++
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	event("tokens", map[string]any{"count": count, "kids": len(seen)})
	return nil
}

func server(ctx context.Context, peer, portFile string) error {
	id, err := spiffeid.FromString(peer)
	if err != nil {
		return err
	}
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	conf := tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(id))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		return err
	}
	tmp := portFile + ".tmp"
	if err := os.WriteFile(tmp, []byte(listener.Addr().String()), 0o644); err != nil {
		return err
	}
	if err := os.Rename(tmp, portFile); err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func(c net.Conn) {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(hang))
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				event("refused", map[string]any{"text": err.Error()})
				return
			}
			state := c.(*tls.Conn).ConnectionState()
			_, _ = io.WriteString(c, "hello "+serial(state.PeerCertificates[0])+" "+line)
		}(conn)
	}
}

// client connects anew each time, so that each side shows the certificate it holds now.
func client(ctx context.Context, peer, portFile, n string) error {
	want, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	id, err := spiffeid.FromString(peer)
	if err != nil {
		return err
	}
	addr, err := os.ReadFile(portFile)
	if err != nil {
		return err
	}
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	conf := tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(id))
	mine, theirs := map[string]bool{}, map[string]bool{}
	for len(mine) < want || len(theirs) < want {
		dialer := &tls.Dialer{Config: conf}
		conn, err := dialer.DialContext(ctx, "tcp", string(addr))
		if err != nil {
			return err
		}
		_ = conn.SetDeadline(time.Now().Add(hang))
		if _, err := io.WriteString(conn, "x\n"); err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err
		}
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != "hello" {
			return fmt.Errorf("the server said %q", line)
		}
		server := serial(conn.(*tls.Conn).ConnectionState().PeerCertificates[0])
		if !mine[words[1]] || !theirs[server] {
			event("connected", map[string]any{"mine": words[1], "theirs": server})
		}
		mine[words[1]], theirs[server] = true, true
		conn.Close()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "fetch":
		c, err := workloadapi.FetchX509Context(ctx)
		if err != nil {
			return err
		}
		return show(c)
	case len(args) == 2 && args[0] == "watch":
		return watch(ctx, args[1], false)
	case len(args) == 2 && args[0] == "bundles":
		return watch(ctx, args[1], true)
	case len(args) >= 2 && args[0] == "jwt":
		return jwt(ctx, args[1:])
	case len(args) == 3 && args[0] == "tokens":
		return tokens(ctx, args[1], args[2])
	case len(args) == 3 && args[0] == "server":
		return server(ctx, args[1], args[2])
	case len(args) == 3 && args[0] == "bundle":
		return bundleDocument(ctx, args[1], args[2])
	case (len(args) == 2 || len(args) == 3) && args[0] == "reflect":
		return reflectSocket(ctx, args[1], strings.Join(args[2:], ""))
	case len(args) == 4 && args[0] == "client":
		return client(ctx, args[1], args[2], args[3])
	}
	return errors.New("usage: see the head of main.go")
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mfinterop:", err)
		if status.Code(err) == codes.PermissionDenied {
			os.Exit(7)
		}
		os.Exit(1)
	}
}
