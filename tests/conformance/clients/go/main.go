// A client of Vectron's official contract in Go: stubs from its .proto, the options of the official Go client, no extensions.
//
//	conformance ADDRESS EMAIL PASSWORD
//
// walks from an account to a key and a token, and with each credential from create to drop. Prints one line for each check and
// exits with 1 at the first that does not hold.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"reflect"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"conformance/apigatewaypb"
	"conformance/authpb"
)

// Each is a 32-bit float to the last bit, so they have to come back as they went.
var vectors = map[string][]float32{
	"near":   {0.1, -0.5, 268.4},
	"far":    {1.5, 2.25, -8},
	"a/b c%": {0, 1.1754944e-38, 7},
}

type client struct {
	api  apigatewaypb.VectronServiceClient
	auth authpb.AuthServiceClient
}

func check(what string, holds bool, found ...any) {
	if !holds {
		fmt.Printf("FAIL %s: %v\n", what, found)
		os.Exit(1)
	}
	fmt.Printf("ok   %s\n", what)
}

func must[T any](answer T, err error) T {
	if err != nil {
		fmt.Printf("FAIL %v\n", err)
		os.Exit(1)
	}
	return answer
}

// With the metadata that the official client sends; within the time that it allows.
func as(token string) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	context.AfterFunc(ctx, cancel)
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func refused(what string, wanted codes.Code, err error) {
	check(what+" is "+wanted.String(), status.Code(err) == wanted, err)
}

func (c client) collection(credential, token string) {
	name := "go-" + rand.Text()
	point := func(id string) *apigatewaypb.Point {
		return &apigatewaypb.Point{Id: id, Vector: vectors[id], Payload: map[string]string{"name": id}}
	}
	search := &apigatewaypb.SearchRequest{Collection: name, Vector: vectors["far"], TopK: 2, IncludeMetadata: true}

	made := must(c.api.CreateCollection(as(token), &apigatewaypb.CreateCollectionRequest{Name: name, Dimension: 3, Distance: "euclidean"}))
	check(credential+": create", made.Success)
	_, err := c.api.CreateCollection(as(token), &apigatewaypb.CreateCollectionRequest{Name: name, Dimension: 3})
	refused("create again", codes.AlreadyExists, err)
	state := must(c.api.GetCollectionStatus(as(token), &apigatewaypb.GetCollectionStatusRequest{Name: name}))
	check("status", state.Dimension == 3 && state.Distance == "euclidean" && len(state.Shards) > 0 && state.Shards[0].Ready, state)
	request := &apigatewaypb.UpsertRequest{Collection: name, Points: []*apigatewaypb.Point{point("near"), point("far"), point("a/b c%")}}
	stored := must(c.api.Upsert(as(token), request, grpc.UseCompressor(gzip.Name)))
	check("upsert, compressed", stored.Upserted == 3, stored)

	found := must(c.api.Search(as(token), search)).Results
	check("search", len(found) == 2 && found[0].Id == "far" && found[0].Score == 0 && found[1].Score > 0, found)
	check("payload", found[0].Payload["name"] == "far", found)
	search.IncludeVectors = true
	found = must(c.api.Search(as(token), search)).Results
	check("vectors of results", reflect.DeepEqual(found[0].Vector, vectors["far"]), found)
	search.IncludeVectors = false
	c.stream(token, search)

	for id, vector := range vectors {
		got := must(c.api.Get(as(token), &apigatewaypb.GetRequest{Collection: name, Id: id})).Point
		check("get "+id, reflect.DeepEqual(got.Vector, vector) && got.Payload["name"] == id, got)
	}
	must(c.api.Delete(as(token), &apigatewaypb.DeleteRequest{Collection: name, Id: "near"}))
	_, err = c.api.Get(as(token), &apigatewaypb.GetRequest{Collection: name, Id: "near"})
	refused("get of what is deleted", codes.NotFound, err)
	_, err = c.api.Search(as(token), &apigatewaypb.SearchRequest{Collection: name, Vector: []float32{1}})
	refused("search with another dimension", codes.InvalidArgument, err)
	_, err = c.api.Search(as(token), &apigatewaypb.SearchRequest{Collection: name + "-none", Vector: vectors["far"]})
	refused("search in no collection", codes.NotFound, err)

	item := &apigatewaypb.FeedbackItem{ResultId: "far", RelevanceScore: 5}
	told := must(c.api.SubmitFeedback(as(token), &apigatewaypb.SubmitFeedbackRequest{Collection: name, FeedbackItems: []*apigatewaypb.FeedbackItem{item}}))
	check("feedback", told.Success && len(told.FeedbackId) == 36, told)
	must(c.api.DeleteCollection(as(token), &apigatewaypb.DeleteCollectionRequest{Name: name}))
	_, err = c.api.GetCollectionStatus(as(token), &apigatewaypb.GetCollectionStatusRequest{Name: name})
	refused("status of what is dropped", codes.NotFound, err)
}

func (c client) stream(token string, search *apigatewaypb.SearchRequest) {
	snapshots := must(c.api.SearchStream(as(token), search))
	var last *apigatewaypb.SearchResponse
	for {
		snapshot, err := snapshots.Recv()
		if err == io.EOF {
			break
		}
		last = must(snapshot, err)
	}
	check("stream", last != nil && len(last.Results) == 2 && last.Results[0].Id == "far", last)
	_, err := must(c.api.SearchStream(as(""), search)).Recv()
	refused("stream of an anonymous caller", codes.Unauthenticated, err)
}

func main() {
	address, email, password := os.Args[1], os.Args[2], os.Args[3]
	connection := must(grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20), grpc.MaxCallSendMsgSize(16<<20)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithUserAgent("vectron-go-client"),
	))
	c := client{apigatewaypb.NewVectronServiceClient(connection), authpb.NewAuthServiceClient(connection)}

	_, err := c.auth.Login(as(""), &authpb.LoginRequest{Email: email, Password: "Wrong-password-1"})
	refused("login with another password", codes.Unauthenticated, err)
	login := must(c.auth.Login(as(""), &authpb.LoginRequest{Email: email, Password: password}))
	profile := must(c.auth.GetUserProfile(as(login.JwtToken), &authpb.GetUserProfileRequest{})).User
	check("profile", profile.Id == login.User.Id && profile.Email == email, profile)
	key := must(c.auth.CreateAPIKey(as(login.JwtToken), &authpb.CreateAPIKeyRequest{Name: "go conformance"}))
	prefix := key.KeyInfo.KeyPrefix
	valid := must(c.auth.ValidateAPIKey(as(""), &authpb.ValidateAPIKeyRequest{FullKey: key.FullKey}))
	check("key", valid.Valid && valid.UserId == profile.Id && valid.ApiKeyId == prefix, valid)
	sdk := must(c.auth.CreateSDKJWT(as(login.JwtToken), &authpb.CreateSDKJWTRequest{ApiKeyId: prefix})).SdkJwt

	c.collection("login", login.JwtToken)
	c.collection("key", key.FullKey)
	c.collection("SDK token", sdk)

	must(c.auth.DeleteAPIKey(as(login.JwtToken), &authpb.DeleteAPIKeyRequest{KeyPrefix: prefix}))
	for _, token := range []string{sdk, key.FullKey, "no.jwt.here", ""} {
		_, err = c.api.ListCollections(as(token), &apigatewaypb.ListCollectionsRequest{})
		refused("a credential that does not hold", codes.Unauthenticated, err)
	}
	fmt.Println("all checks passed")
}
