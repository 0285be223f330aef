// The job of ../boto/job.py with the AWS SDK for Go, and its loops: job BUCKET READ WRITE OTHER
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func status(err error) string {
	var answer *http.ResponseError
	switch {
	case err == nil:
		return "200"
	case errors.As(err, &answer):
		return fmt.Sprint(answer.HTTPStatusCode())
	default:
		return strings.Join(strings.Fields(err.Error()), " ")
	}
}

// The SDK's own, one for all clients: each would keep its connections open.
var transport = http.NewBuildableClient()

func client() *s3.Client {
	cfg, err := config.LoadDefaultConfig(context.Background(), config.WithHTTPClient(transport))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return s3.NewFromConfig(cfg)
}

func get(c *s3.Client, bucket, key string) error {
	out, err := c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	_, err = io.Copy(io.Discard, out.Body)
	return err
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func fresh(bucket, key, stop string) {
	calls, failed := 0, 0
	for !there(stop) {
		begun := time.Now()
		err := get(client(), bucket, key)
		calls++
		if err != nil {
			failed++
			fmt.Fprintf(os.Stderr, "after %d ms: %s\n", time.Since(begun).Milliseconds(), status(err))
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Println("reads", calls, "failed", failed)
}

func held(bucket, key, stop string) {
	last, c := "", client()
	for !there(stop) {
		s := status(get(c, bucket, key))
		if s != last {
			fmt.Println("held", s)
		}
		last = s
		time.Sleep(500 * time.Millisecond)
	}
	fmt.Println("fresh", status(get(client(), bucket, key)))
}

func main() {
	a := os.Args[1:]
	if len(a) != 4 {
		fmt.Fprintln(os.Stderr, "BUCKET READ WRITE OTHER")
		os.Exit(2)
	}
	switch a[0] {
	case "--fresh":
		fresh(a[1], a[2], a[3])
		return
	case "--held":
		held(a[1], a[2], a[3])
		return
	}
	c := client()
	fmt.Println("read", status(get(c, a[0], a[1])))
	_, err := c.PutObject(context.Background(), &s3.PutObjectInput{Bucket: &a[0], Key: &a[2], Body: strings.NewReader("checkpoint of Go"), ContentLength: aws.Int64(16)})
	fmt.Println("write", status(err))
	fmt.Println("other", status(get(c, a[0], a[3])))
}
