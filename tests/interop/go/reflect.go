package main

// What grpcurl does, with the same libraries: everything about a service is learnt from its reflection.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	reflectv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectalpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// asker asks one question in its stream.
type asker func(*reflectv1.ServerReflectionRequest) (*reflectv1.ServerReflectionResponse, error)

func askerV1(ctx context.Context, conn *grpc.ClientConn) (asker, error) {
	s, err := reflectv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	return func(q *reflectv1.ServerReflectionRequest) (*reflectv1.ServerReflectionResponse, error) {
		if err := s.Send(q); err != nil && !errors.Is(err, io.EOF) { // EOF: Recv has the status
			return nil, err
		}
		return s.Recv()
	}, nil
}

// askerAlpha: the messages are the same but for their package.
func askerAlpha(ctx context.Context, conn *grpc.ClientConn) (asker, error) {
	s, err := reflectalpha.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	return func(q *reflectv1.ServerReflectionRequest) (*reflectv1.ServerReflectionResponse, error) {
		raw, err := proto.Marshal(q)
		if err != nil {
			return nil, err
		}
		old, now := &reflectalpha.ServerReflectionRequest{}, &reflectv1.ServerReflectionResponse{}
		if err := proto.Unmarshal(raw, old); err != nil {
			return nil, err
		}
		if err := s.Send(old); err != nil && !errors.Is(err, io.EOF) { // EOF: Recv has the status
			return nil, err
		}
		got, err := s.Recv()
		if err != nil {
			return nil, err
		}
		if raw, err = proto.Marshal(got); err != nil {
			return nil, err
		}
		return now, proto.Unmarshal(raw, now)
	}, nil
}

func listServices(ask asker) ([]string, error) {
	r, err := ask(&reflectv1.ServerReflectionRequest{
		MessageRequest: &reflectv1.ServerReflectionRequest_ListServices{}})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range r.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	slices.Sort(names)
	return names, nil
}

// describe finds a service: its file and what that needs, linked strictly by protobuf's own rules.
func describeService(ask asker, name string) (protoreflect.ServiceDescriptor, error) {
	r, err := ask(&reflectv1.ServerReflectionRequest{
		MessageRequest: &reflectv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}})
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	for _, raw := range r.GetFileDescriptorResponse().GetFileDescriptorProto() {
		f := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(raw, f); err != nil {
			return nil, err
		}
		set.File = append(set.File, f)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d.(protoreflect.ServiceDescriptor), nil
}

// call sends an empty request, by what reflection said alone, and gives the first message.
func callMethod(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor) (string, error) {
	path := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
	desc := &grpc.StreamDesc{ServerStreams: m.IsStreamingServer(), ClientStreams: m.IsStreamingClient()}
	s, err := conn.NewStream(ctx, desc, path)
	if err != nil {
		return "", err
	}
	if err := s.SendMsg(dynamicpb.NewMessage(m.Input())); err != nil {
		return "", err
	}
	if err := s.CloseSend(); err != nil {
		return "", err
	}
	got := dynamicpb.NewMessage(m.Output())
	if err := s.RecvMsg(got); err != nil {
		return "", err
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Format(got), nil
}

// reflect lists what a socket serves, links all of it, and calls one method if it is named (SERVICE/METHOD).
func reflectSocket(ctx context.Context, target, method string) error {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	// The header belongs to every method, this one too.
	if target == os.Getenv("SPIFFE_ENDPOINT_SOCKET") {
		bare, err := askerV1(ctx, conn)
		if err == nil {
			_, err = listServices(bare)
		}
		if status.Code(err) != codes.InvalidArgument {
			return fmt.Errorf("reflection without the header: %v", err)
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", "true")
	}
	ask, err := askerV1(ctx, conn)
	if err != nil {
		return err
	}
	alpha, err := askerAlpha(ctx, conn)
	if err != nil {
		return err
	}
	services, err := listServices(ask)
	if err != nil {
		return err
	}
	old, err := listServices(alpha)
	if err != nil {
		return err
	}
	if !slices.Equal(services, old) {
		return fmt.Errorf("v1 lists %v, v1alpha %v", services, old)
	}
	methods := map[string][]string{}
	var called protoreflect.MethodDescriptor
	for _, name := range services {
		for _, a := range []asker{ask, alpha} {
			d, err := describeService(a, name)
			if err != nil {
				return err
			}
			methods[name] = nil
			for i := range d.Methods().Len() {
				m := d.Methods().Get(i)
				methods[name] = append(methods[name], string(m.Name()))
				if method == name+"/"+string(m.Name()) {
					called = m
				}
			}
		}
	}
	r, err := ask(&reflectv1.ServerReflectionRequest{
		MessageRequest: &reflectv1.ServerReflectionRequest_FileByFilename{FileByFilename: "no/such.proto"}})
	if err != nil || codes.Code(r.GetErrorResponse().GetErrorCode()) != codes.NotFound {
		return fmt.Errorf("a file that is not there: %v, %v", r, err)
	}
	event("services", map[string]any{"services": services, "methods": methods})
	if method == "" {
		return nil
	}
	if called == nil {
		return errors.New("no method " + method)
	}
	text, err := callMethod(ctx, conn, called)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	event("answer", map[string]any{"method": method, "answer": text})
	return nil
}
