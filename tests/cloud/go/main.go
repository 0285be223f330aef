// The job of ../boto/job.py with the AWS SDK for Go: job BUCKET READ WRITE OTHER
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func step(name string, err error) {
	var answer *http.ResponseError
	switch {
	case err == nil:
		fmt.Println(name, 200)
	case errors.As(err, &answer):
		fmt.Println(name, answer.HTTPStatusCode())
	default:
		fmt.Println(name, strings.Join(strings.Fields(err.Error()), " "))
	}
}

func main() {
	ctx := context.Background()
	a := os.Args[1:]
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil || len(a) != 4 {
		fmt.Fprintln(os.Stderr, "BUCKET READ WRITE OTHER:", err)
		os.Exit(2)
	}
	client := s3.NewFromConfig(cfg)
	get := func(key string) error {
		out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &a[0], Key: &key})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		_, err = io.Copy(io.Discard, out.Body)
		return err
	}
	step("read", get(a[1]))
	_, err = client.PutObject(ctx, &s3.PutObjectInput{Bucket: &a[0], Key: &a[2], Body: strings.NewReader("checkpoint of Go"), ContentLength: aws.Int64(16)})
	step("write", err)
	step("other", get(a[3]))
}
