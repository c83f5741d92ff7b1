// Read by relay-compiler, never run: Relay wants names that begin with the file's, and `@connection` on lists.
import { graphql } from 'relay-runtime'

graphql`
  query customersPageQuery($first: Int, $after: String, $last: Int, $before: String) {
    customers(first: $first, after: $after, last: $last, before: $before, orderBy: [{ name: ASC }])
      @connection(key: "page_customers", filters: []) {
      edges { node { id name } }
      pageInfo { startCursor endCursor hasNextPage hasPreviousPage }
    }
  }
`

graphql`
  mutation customersCreateMutation($input: CreateCustomerInput!) {
    createCustomer(input: $input) {
      ... on Customer { id name }
      ... on Refusal { code errors { field } }
    }
  }
`

graphql`
  subscription customersChangesSubscription($since: String) {
    changes(since: $since, entities: ["Customer"]) { id cursor seq recordId after }
  }
`

graphql`
  query customersHistoryQuery($id: ID!) {
    changes(filter: { recordId: { eq: $id } }) { edges { node { id seq recordId } } }
  }
`
