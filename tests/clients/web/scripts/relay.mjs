import relay from 'relay-runtime'

import changes from '../relay/__generated__/customersChangesSubscription.graphql.js'
import create from '../relay/__generated__/customersCreateMutation.graphql.js'
import history from '../relay/__generated__/customersHistoryQuery.graphql.js'
import page from '../relay/__generated__/customersPageQuery.graphql.js'
import { BAD, GOOD, distinct, headers, hearing, names, resuming, say, since, socket, url } from './story.mjs'

const { Environment, Network, Observable, RecordSource, Store } = relay
const wire = socket()
const subscribe = resuming(wire)

async function fetched({ text: query }, variables) {
  const body = JSON.stringify({ query, variables })
  const json = { ...headers, 'Content-Type': 'application/json' }
  const answer = await fetch(url, { method: 'POST', headers: json, body })
  return answer.json()
}
const subscribed = ({ text: query }, variables) =>
  Observable.create((sink) => subscribe({ query, variables }, sink))
const started = () =>
  new Environment({ network: Network.create(fetched, subscribed), store: new Store(new RecordSource()) })
const environment = started()

const created = (input) =>
  new Promise((onCompleted, onError) =>
    relay.commitMutation(environment, { mutation: create, variables: { input }, onCompleted, onError }),
  ).then((data) => data.createCustomer)
say({ created: (await created(GOOD)).name })
const { code, errors } = await created(BAD)
say({ refused: { code, errors: errors.map(({ field }) => ({ field })) } })

// Fetches, and returns what the store then holds for these variables.
async function asked(environment, query, variables) {
  const operation = relay.createOperationDescriptor(query, variables)
  environment.retain(operation)
  await relay.fetchQuery(environment, query, variables).toPromise()
  return environment.lookup(operation.fragment).data
}

async function pages(variables, more, said) {
  const environment = started()
  while (variables) {
    const { customers } = await asked(environment, page, variables)
    say({ [said]: names(customers) })
    const next = more(customers.pageInfo)
    variables = next && { ...variables, ...next }
  }
}
await pages({ first: 2 }, (info) => info.hasNextPage && { after: info.endCursor }, 'forward')
await pages({ last: 2 }, (info) => info.hasPreviousPage && { before: info.startCursor }, 'backward')

const id = await new Promise((resolve, onError) => {
  const listener = hearing(resolve)
  const onNext = ({ changes: change }) => listener(change)
  relay.requestSubscription(environment, { subscription: changes, variables: { since }, onNext, onError })
})

say({ cached: distinct((await asked(environment, history, { id })).changes) })
await wire.dispose()
