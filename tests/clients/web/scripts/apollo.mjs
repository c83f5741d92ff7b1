import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client'
import { OperationTypeNode } from 'graphql'
import { GraphQLWsLink } from '@apollo/client/link/subscriptions'
import { relayStylePagination } from '@apollo/client/utilities'
import { defer, retry, tap } from 'rxjs'

import {
  BAD,
  CHANGES,
  CREATE,
  GOOD,
  HISTORY,
  PAGE,
  distinct,
  headers,
  hearing,
  names,
  say,
  since,
  socket,
  url,
} from './story.mjs'

// Apollo subscribes again, so the socket does not.
const wire = socket({ shouldRetry: () => false, retryAttempts: 0 })
const link = ApolloLink.split(
  ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
  new GraphQLWsLink(wire),
  new HttpLink({ uri: url, headers }),
)
const customers = relayStylePagination()
const started = () =>
  new ApolloClient({ link, cache: new InMemoryCache({ typePolicies: { Query: { fields: { customers } } } }) })

const client = started()
async function create(input) {
  const { data } = await client.mutate({ mutation: gql(CREATE), variables: { input } })
  return data.createCustomer
}
say({ created: (await create(GOOD)).name })
const { code, errors } = await create(BAD)
say({ refused: { code, errors: errors.map(({ field }) => ({ field })) } })

async function pages(variables, more, said) {
  const client = started()
  const asked = { query: gql(PAGE), variables }
  const list = client.watchQuery(asked)
  const read = () => client.readQuery(asked).customers
  await new Promise((resolve) => list.subscribe(({ loading }) => loading || resolve()))
  say({ [said]: names(read()) })
  while (more(read().pageInfo)) {
    await list.fetchMore({ variables: more(read().pageInfo) })
    say({ [said]: names(read()) })
  }
}
await pages({ first: 2 }, (page) => page.hasNextPage && { after: page.endCursor }, 'forward')
await pages({ last: 2 }, (page) => page.hasPreviousPage && { before: page.startCursor }, 'backward')

let last = since
const changes = defer(() => client.subscribe({ query: gql(CHANGES), variables: { since: last } })).pipe(
  tap(({ error }) => {
    if (error) throw error
  }),
  retry({ delay: 50 }),
)
const id = await new Promise((resolve) => {
  const listener = hearing(resolve)
  changes.subscribe(({ data }) => {
    last = data.changes.cursor
    listener(data.changes)
  })
})

const asked = { query: gql(HISTORY), variables: { id } }
await client.query(asked)
say({ cached: distinct(client.readQuery(asked).changes) })
await wire.dispose()
